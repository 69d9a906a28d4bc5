"""A fit after a range test equals, bit for bit, a fit without one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from tests.training_models import all_values, classifier, custom_step, two_outputs

optimizers = keras.optimizers

CASES: dict[str, Any] = {
    "adam": lambda: classifier("adam"),
    "sgd-momentum-spe7": lambda: classifier(optimizers.SGD(0.1, momentum=0.9), steps_per_execution=7),
    "adamw-cosine": lambda: classifier(optimizers.AdamW(optimizers.schedules.CosineDecay(1e-3, 100))),
    "accumulation": lambda: classifier(optimizers.Adam(gradient_accumulation_steps=4)),
    "ema": lambda: classifier(optimizers.Adam(use_ema=True, ema_overwrite_frequency=9)),
    "nadam-clipnorm": lambda: classifier(optimizers.Nadam(global_clipnorm=1.0)),
    "adagrad": lambda: classifier(optimizers.Adagrad()),
    "loss-scale": lambda: classifier(optimizers.LossScaleOptimizer(optimizers.Adam())),
    "custom-step": custom_step,
    "xla": lambda: custom_step(jit_compile=True),
    "eager": lambda: classifier(run_eagerly=True),
}


@pytest.fixture(autouse=True)
def _determinism() -> Any:
    tf.config.experimental.enable_op_determinism()
    yield
    tf.config.experimental.disable_op_determinism() if hasattr(
        tf.config.experimental, "disable_op_determinism"
    ) else None


def arrays(digits: Any) -> tuple[Any, ...]:
    images, labels = digits
    return images[:200], labels[:200]


def shuffled_set(digits: Any) -> tuple[Any, ...]:
    return (tf.data.Dataset.from_tensor_slices(arrays(digits)).shuffle(200).batch(32),)


def train(build: Any, data: Any, *, before: Any = lambda model: None) -> tuple[dict[str, Any], list[np.ndarray]]:
    keras.utils.set_random_seed(7)
    model = build()
    data = data()
    before(model, *data)
    history = model.fit(*data, epochs=2, verbose=0).history
    return history, all_values(model)


def by_callback(model: Any, *data: Any) -> None:
    finder = keras_lr.LRRangeTest(num_steps=20)
    assert model.fit(*data, epochs=3, verbose=0, callbacks=[finder]).history == {}
    assert finder.result is not None


def by_call(model: Any, *data: Any) -> None:
    keras_lr.find_lr(model, *data, num_steps=20)


def assert_same(first: Any, second: Any) -> None:
    assert first[0] == second[0]
    assert len(first[1]) == len(second[1])
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", [by_callback, by_call])
def test_fit_after_a_range_test_equals_a_fit_without(case: str, way: Any, digits: Any) -> None:
    def nothing(model: Any, *data: Any) -> None: ...

    build = CASES[case]
    plain = train(build, lambda: arrays(digits), before=nothing)
    assert_same(train(build, lambda: arrays(digits), before=way), plain)


@pytest.mark.parametrize("way", [by_callback, by_call])
def test_a_shuffled_dataset_keeps_its_order(way: Any, digits: Any) -> None:
    def nothing(model: Any, *data: Any) -> None: ...

    plain = train(classifier, lambda: shuffled_set(digits), before=nothing)
    assert_same(train(classifier, lambda: shuffled_set(digits), before=way), plain)


def test_a_trained_optimizer_goes_on_as_before(digits: Any) -> None:
    def trained(model: Any, *data: Any) -> None:
        model.fit(*data, epochs=1, verbose=0)

    def trained_and_tested(model: Any, *data: Any) -> None:
        trained(model, *data)
        by_call(model, *data)

    plain = train(classifier, lambda: arrays(digits), before=trained)
    assert_same(train(classifier, lambda: arrays(digits), before=trained_and_tested), plain)


def test_several_outputs(digits: Any) -> None:
    def data() -> tuple[Any, ...]:
        images, labels = arrays(digits)
        return images, {"digit": labels, "odd": (labels % 2).astype("float32")}

    def nothing(model: Any, *data: Any) -> None: ...

    plain = train(two_outputs, data, before=nothing)
    assert_same(train(two_outputs, data, before=by_call), plain)


@pytest.mark.parametrize("failing_batch", [0, 3])
def test_state_survives_data_that_fails(failing_batch: int, digits: Any) -> None:
    images, labels = arrays(digits)

    def batches() -> Any:
        for index in range(10):
            if index == failing_batch:
                raise RuntimeError("the disk went away")
            yield images[index * 16 : index * 16 + 16], labels[index * 16 : index * 16 + 16]

    keras.utils.set_random_seed(7)
    model = custom_step()
    model.fit(images, labels, verbose=0)
    before = all_values(model)
    broken = tf.data.Dataset.from_generator(
        batches, output_signature=(tf.TensorSpec((None, 64)), tf.TensorSpec((None,), tf.int32))
    )
    finder = keras_lr.LRRangeTest(num_steps=20)
    with pytest.raises(Exception, match="the disk went away"):
        model.fit(broken, verbose=0, callbacks=[finder])
    for one, other in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(one, other)
    if failing_batch:
        assert finder.result is not None
        assert finder.result.stop_reason == "error"
        assert len(finder.result.losses) == failing_batch


def test_state_survives_ctrl_c(digits: Any) -> None:
    class Interrupting(type(custom_step())):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            if armed and int(self.calls) % 5 == 0:
                raise KeyboardInterrupt
            return logs

    armed = False
    keras.utils.set_random_seed(7)
    model = Interrupting()
    model.compile("adam", run_eagerly=True)
    model.fit(*arrays(digits), verbose=0)
    before = all_values(model)
    armed = True
    model.calls.assign(0)
    result = keras_lr.find_lr(model, *arrays(digits), num_steps=20)
    assert result.stop_reason == "interrupted"
    assert len(result.losses) == 4
    for one, other in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.history.history["loss"]
