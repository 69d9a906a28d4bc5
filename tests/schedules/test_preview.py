"""A schedule before training: its numbers, file and plot."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import keras_lr
from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, InvalidRangeError, ResultFormatError


def test_gives_the_rate_of_each_step() -> None:
    preview = schedules.preview(schedules.Polynomial(1.0, 4), 6)
    frame = preview.to_frame()
    assert frame["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert frame["learning_rate"].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert (preview.name, preview.total_steps, preview.config["decay_steps"]) == ("Polynomial", 6, 4)


def test_a_long_schedule_is_sampled_from_its_first_to_its_last_step() -> None:
    preview = schedules.preview(schedules.InverseSqrt(1.0, 10), 10**6, max_points=100)
    assert preview.steps.size == 100
    assert (preview.steps[0], preview.steps[-1], preview.total_steps) == (0, 10**6 - 1, 10**6)


def test_shows_keras_own_schedules_and_constants() -> None:
    decay = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    assert schedules.preview(decay, 3).learning_rates.tolist() == [1.0, 0.5, 0.25]
    assert schedules.preview(0.5, 2).learning_rates.tolist() == [0.5, 0.5]


def test_a_schedule_of_the_users_own_needs_no_configuration() -> None:
    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 ** keras.ops.cast(step, "float32")

    preview = schedules.preview(Halving(), 3)
    assert preview.learning_rates.tolist() == [1.0, 0.5, 0.25]
    assert preview.config == {}


def test_a_rate_that_is_not_finite_is_refused() -> None:
    class Broken(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 1.0 / (2.0 - keras.ops.cast(step, "float32"))

    with pytest.raises(InvalidArgumentError, match=r"`schedule` must give finite .* at step 2"):
        schedules.preview(Broken(), 5)


def test_survives_a_file(tmp_path) -> None:
    nested = schedules.Warmup(keras.optimizers.schedules.CosineDecay(0.1, 20), 5)
    preview = schedules.preview(nested, 30, annotations={10: "epoch 2"})
    loaded = keras_lr.SchedulePreview.load(preview.save(tmp_path / "schedule.json"))
    assert loaded.to_dict() == preview.to_dict()
    assert loaded.steps.dtype == np.int64
    assert loaded.annotations == ((10, "epoch 2"),)


@pytest.mark.parametrize(
    "change", [{"steps": [0.5, 1]}, {"learning_rates": [1.0]}, {"config": []}, {"name": 3}, {"annotations": [1]}]
)
def test_a_damaged_file_is_refused(change) -> None:
    data = schedules.preview(0.1, 2).to_dict() | change
    with pytest.raises(ResultFormatError, match="A stored schedule has a field of the wrong type"):
        keras_lr.SchedulePreview.from_dict(data)


def test_the_picture_shows_the_rates_on_the_axes_given() -> None:
    axes = Figure().subplots()
    drawn = schedules.preview(schedules.OneCycle(0.1, 50), 50, annotations={25: "half"}).plot(axes)
    assert drawn is axes
    np.testing.assert_array_equal(drawn.lines[0].get_xdata(), np.arange(50))
    assert drawn.lines[0].get_ydata().max() == pytest.approx(0.1, rel=1e-3)
    assert [text.get_text() for text in drawn.texts] == ["half"]
    assert drawn.get_xlabel() == "Step"


def test_the_momentum_has_an_axis_of_its_own() -> None:
    preview = keras_lr.SchedulePreview("cycle", np.arange(3), np.ones(3), 3, momentums=np.array([0.9, 0.8, 0.9]))
    assert preview.to_frame()["momentum"].tolist() == [0.9, 0.8, 0.9]
    figure = preview.plot(Figure().subplots()).figure
    assert [axes.get_ylabel().split()[0] for axes in figure.axes] == ["Learning", "Momentum"]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [0.9, 0.8, 0.9]


def test_shows_the_momentum_against_the_rate() -> None:
    cycle = schedules.preview(schedules.Cyclical(0.1, 0.5, 2), 5, momentum=(0.8, 0.9))
    assert cycle.momentums == pytest.approx([0.9, 0.85, 0.8, 0.85, 0.9])
    fall = schedules.preview(schedules.Polynomial(1.0, 4), 5, momentum=(0.8, 0.9))
    assert fall.momentums == pytest.approx([0.8, 0.825, 0.85, 0.875, 0.9])
    with pytest.raises(InvalidRangeError, match="`schedule` must go from a lower to a higher"):
        schedules.preview(0.1, 5, momentum=(0.8, 0.9))
    with pytest.raises(InvalidRangeError, match=r"`momentum` must go from .* Received: 0.9 to 0.8"):
        schedules.preview(0.1, 5, momentum=(0.9, 0.8))
