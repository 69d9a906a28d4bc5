"""Every schedule in the places Keras puts one: configurations, files, clones, compiled steps."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lr import schedules
from tests.schedules.conftest import EXAMPLES, rates_of

NUM_STEPS = 60


def eager_rates(schedule: Any) -> np.ndarray:
    return rates_of(schedule, np.arange(NUM_STEPS))


def same_rates(left: Any, right: Any) -> None:
    np.testing.assert_array_equal(eager_rates(left), eager_rates(right))


def test_one_step_at_a_time_gives_the_rates_of_many_at_once(schedule: Any) -> None:
    steps = [0, 1, 7, 29]
    np.testing.assert_allclose([float(schedule(step)) for step in steps], rates_of(schedule, steps), rtol=1e-6)


def small_model(optimizer: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


class RatesInGraph(keras.Model):
    """Records the rate of every schedule inside the training step."""

    def __init__(self, watched: list[Any]) -> None:
        super().__init__()
        self.watched = watched
        self.dense = keras.layers.Dense(1)
        self.rates = tf.Variable(tf.zeros([NUM_STEPS, len(watched) + 1]), trainable=False)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> Any:
        step = self.optimizer.iterations.value
        row = [*(schedule(step) for schedule in self.watched), self.optimizer.learning_rate]
        self.rates.scatter_nd_update([[step]], [tf.stack(row)])
        return super().train_step(data)


@pytest.mark.parametrize("options", [{"steps_per_execution": 10}, {"jit_compile": True}], ids=["executions", "xla"])
def test_compiled_steps_give_the_rates_of_eager_ones(options: dict[str, Any]) -> None:
    watched = [make() for make in EXAMPLES.values()]
    own = EXAMPLES["sequential"]()
    model = RatesInGraph(watched)
    model.compile(keras.optimizers.SGD(own), "mse", **options)
    x = np.ones((NUM_STEPS, 1), "float32")
    model.fit(x, x, batch_size=1, epochs=1, verbose=0)
    expected = np.transpose([eager_rates(schedule) for schedule in [*watched, own]])
    # Keras's own schedules compute in float32, which a graph rounds differently.
    np.testing.assert_allclose(model.rates.numpy(), expected, rtol=1e-6, atol=1e-15)


def test_is_registered_and_described_by_its_arguments(schedule: Any) -> None:
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    assert stored["registered_name"] == f"keras_lr>{type(schedule).__name__}"
    again = keras.saving.deserialize_keras_object(stored)
    assert again.get_config() == schedule.get_config()
    same_rates(again, schedule)
    same_rates(type(schedule).from_config(schedule.get_config()), schedule)


def test_a_saved_model_continues_where_it_stopped(schedule: Any, tmp_path: Any) -> None:
    model = small_model(keras.optimizers.SGD(schedule))
    x = np.ones((3, 1), "float32")
    model.fit(x, x, batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == eager_rates(schedule)[3]
    same_rates(loaded.optimizer._learning_rate, schedule)


def test_a_clone_with_the_optimizer_of_its_configuration(schedule: Any) -> None:
    model = small_model(keras.optimizers.Adam(schedule))
    clone = keras.models.clone_model(model)
    clone.compile(keras.optimizers.Adam.from_config(model.optimizer.get_config()), "mse")
    assert clone.optimizer._learning_rate is not schedule
    same_rates(clone.optimizer._learning_rate, schedule)


def test_every_public_schedule_has_an_example() -> None:
    public = {getattr(schedules, name) for name in schedules.__all__}
    classes = {
        value
        for value in public
        if isinstance(value, type) and issubclass(value, keras.optimizers.schedules.LearningRateSchedule)
    }
    assert {type(make()) for make in EXAMPLES.values()} == classes


def test_a_lowered_factor_is_saved_with_the_model(tmp_path: Any) -> None:
    schedule = schedules.Scaled(schedules.OneCycle(0.1, 20))
    model = small_model(keras.optimizers.SGD(schedule))
    schedule.factor = 0.25
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.001)


def test_the_factor_acts_on_a_step_that_is_already_compiled() -> None:
    schedule = schedules.Scaled(0.5)
    model = small_model(keras.optimizers.SGD(schedule))
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    x, y = np.zeros((1, 1), "float32"), np.ones((1, 1), "float32")
    model.fit(x, y, verbose=0)
    schedule.factor = 0.0
    model.fit(x, y, verbose=0)
    # The gradient of (0 - 1)**2 by the bias is -2: one step of 0.5, then one of 0.
    assert model.get_weights()[1] == pytest.approx(1.0)
