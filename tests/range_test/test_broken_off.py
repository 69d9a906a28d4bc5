"""The model's state after a range test that was cut short by Ctrl-C, a failing step or the data."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import textwrap
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import DataError, KerasLRError, ModelError
from keras_lr.range_test._sweep import HeldInterrupt
from tests.fresh_process import run_fresh
from tests.training_models import all_values, custom_step


def trained(digits: Any, **compile_options: Any) -> Any:
    keras.utils.set_random_seed(7)
    model = custom_step(**compile_options)
    model.fit(digits[0][:64], digits[1][:64], verbose=0)
    return model


def assert_restored(model: Any, before: list[np.ndarray]) -> None:
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


class Subclassed(keras.Model):
    """Made by a class, so that metrics are made while the step is traced, whether or not the weights exist."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(10, "softmax")]

    def call(self, inputs: Any, training: bool = False) -> Any:
        first, normalized, last = self.inner
        return last(normalized(first(inputs), training=training))


@pytest.mark.parametrize("kind", ["sequential", "subclassed", "subclassed and built"])
@pytest.mark.parametrize("fault", ["labels", "monitor"])
def test_a_model_whose_step_cannot_be_traced_then_trains_like_an_untouched_one(
    kind: str, fault: str, digits: Any
) -> None:
    images, labels = (part[:64] for part in digits)

    def build() -> keras.Model:
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.layers.Dense(10, "softmax")]) if kind == "sequential" else Subclassed()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        if kind.endswith("built"):
            model(images[:1])
        return model

    def trained_on_digits(model: keras.Model) -> Any:
        return model.fit(images, labels, epochs=2, shuffle=False, verbose=0).history

    model = build()
    with pytest.raises(KerasLRError):
        keras_lr.find_lr(
            model,
            images,
            np.eye(10)[labels] if fault == "labels" else labels,
            num_steps=20,
            monitor="nothing" if fault == "monitor" else "loss",
        )
    assert trained_on_digits(model) == trained_on_digits(build())


class BuiltByItsFit(keras.Model):
    """Has a weight that begins with the data, which only code outside of a traced step can compute."""

    def __init__(self) -> None:
        super().__init__()
        self.head = keras.layers.Dense(10)
        self.center: Any = None

    def center_on(self, inputs: Any) -> None:
        if self.center is None:
            mean = keras.ops.mean(inputs, axis=0)
            self.center = self.add_weight(shape=mean.shape, initializer=lambda shape, dtype: mean, name="center")

    def call(self, inputs: Any) -> Any:
        self.center_on(inputs)
        return self.head(inputs - self.center)

    def fit(self, x: Any, *arguments: Any, **options: Any) -> Any:
        self.center_on(x)
        return super().fit(x, *arguments, **options)


def test_a_model_that_only_its_own_fit_can_build_is_left_as_it_was(digits: Any) -> None:
    images, labels = (part[:64] for part in digits)

    def build() -> keras.Model:
        keras.utils.set_random_seed(3)
        model = BuiltByItsFit()
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def trained_on_digits(model: keras.Model) -> Any:
        return model.fit(images, labels, epochs=2, shuffle=False, verbose=0).history

    model = build()
    attributes, layers = set(vars(model)), len(vars(model.head))
    with pytest.raises(ModelError, match=r"must be able to train without its own `fit`.* Pass `LRRangeTest`"):
        keras_lr.find_lr(model, images, labels, num_steps=20)
    assert (model.built, model.head.built, model.weights) == (False, False, [])
    assert (set(vars(model)), len(vars(model.head))) == (attributes, layers)
    assert trained_on_digits(model) == trained_on_digits(build())
    test = keras_lr.LRRangeTest(num_steps=20)
    model = build()
    model.fit(images, labels, callbacks=[test], verbose=0)
    assert len(test.result.losses) == 20


def failing_set(digits: Any, failing_batch: int) -> tf.data.Dataset:
    images, labels = digits

    def batches() -> Any:
        for index in range(10):
            if index == failing_batch:
                raise RuntimeError("the disk went away")
            yield images[index * 16 : index * 16 + 16], labels[index * 16 : index * 16 + 16]

    signature = (tf.TensorSpec((None, 64)), tf.TensorSpec((None,), tf.int32))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def test_data_that_fail_midway_keep_the_points(digits: Any) -> None:
    model = trained(digits)
    before = all_values(model)
    finder = keras_lr.LRRangeTest(num_steps=20)
    with pytest.raises(tf.errors.OpError, match="the disk went away"):
        model.fit(failing_set(digits, 3), verbose=0, callbacks=[finder])
    assert_restored(model, before)
    assert finder.result.stop_reason == "error"
    assert len(finder.result.losses) == 3


def test_a_shuffled_reader_that_fails_is_not_read_again(digits: Any) -> None:
    # Outside of what a range test restores, as it is of another process.
    reads_after_fault = multiprocessing.Value("i", -1)

    class Broken(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            if index == 5 or reads_after_fault.value >= 0:
                reads_after_fault.value += 1
            if index == 5:
                raise OSError("the disk went away")
            return digits[0][index * 16 : index * 16 + 16], digits[1][index * 16 : index * 16 + 16]

    model = trained(digits)
    reads = []
    for seed in range(4):
        random.seed(seed)
        before = random.getstate()
        reads_after_fault.value = -1
        with pytest.raises((tf.errors.OpError, DataError), match="the disk went away"):
            keras_lr.find_lr(model, Broken(), num_steps=40)
        reads.append(reads_after_fault.value)
        assert random.getstate() == before
    assert reads == [0] * 4


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_data_whose_first_batch_fails_are_refused(run_eagerly: bool, digits: Any) -> None:
    model = trained(digits, run_eagerly=run_eagerly)
    before = all_values(model)
    with pytest.raises(
        DataError, match=r"`x` must yield batches\. Its first batch failed: RuntimeError: the disk went away\. Iterate"
    ):
        keras_lr.find_lr(model, failing_set(digits, 0), num_steps=20)
    assert_restored(model, before)


def test_a_step_that_fails_keeps_the_points(digits: Any) -> None:
    class Failing(type(custom_step())):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            check = tf.debugging.assert_less(self.calls, tf.constant(6, tf.int64), message="out of memory")
            with tf.control_dependencies([check]):
                return {name: tf.identity(value) for name, value in logs.items()}

    model = Failing()
    model.compile("sgd")
    model.fit(digits[0][:32], digits[1][:32], verbose=0)
    before = all_values(model)
    finder = keras_lr.LRRangeTest(num_steps=20)
    with pytest.raises(tf.errors.InvalidArgumentError, match="out of memory") as caught:
        model.fit(*digits, verbose=0, callbacks=[finder])
    assert "the model was restored to its state before the range test" in caught.value.__notes__[0]
    assert_restored(model, before)
    assert int(model.calls) == 1
    assert finder.result.stop_reason == "error"
    assert len(finder.result.losses) == 4
    with pytest.raises(tf.errors.InvalidArgumentError, match="out of memory"):
        keras_lr.find_lr(model, *digits, num_steps=20)
    assert_restored(model, before)


def test_an_error_of_a_later_callback_does_not_skip_the_next_fit(digits: Any) -> None:
    def fail(logs: Any) -> None:
        raise RuntimeError("no network")

    model = trained(digits)
    later = keras.callbacks.LambdaCallback(on_train_begin=fail)
    with pytest.raises(RuntimeError, match="no network"):
        model.fit(*digits, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=10), later])
    assert len(model.fit(*digits, verbose=0).history["loss"]) == 1


def test_ctrl_c_in_a_step_keeps_the_points(digits: Any) -> None:
    class Interrupting(type(custom_step())):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            if armed and int(self.calls) == 5:
                raise KeyboardInterrupt
            return logs

    armed = False
    model = Interrupting()
    model.compile("sgd", run_eagerly=True)
    model.fit(digits[0][:32], digits[1][:32], verbose=0)
    before, armed = all_values(model), True
    result = keras_lr.find_lr(model, *digits, num_steps=20)
    assert result.stop_reason == "interrupted"
    assert len(result.losses) == 3
    assert_restored(model, before)
    assert int(model.calls) == 1
    finder = keras_lr.LRRangeTest(num_steps=20, apply=True)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits, verbose=0, callbacks=[finder])
    assert_restored(model, before)
    assert finder.result.stop_reason == "interrupted"


def test_the_first_signal_waits_and_a_second_one_may_not() -> None:
    held = HeldInterrupt()
    held.__enter__()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    held.patient = False
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        held.__exit__()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_handler_of_the_user_is_left_in_place() -> None:
    calls = []
    former = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        with HeldInterrupt():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)
    assert calls == [signal.SIGINT]


@pytest.mark.slow
def test_a_real_ctrl_c(tmp_path: Any) -> None:
    program = """
        import os, signal
        import keras, numpy as np, tensorflow as tf
        import keras_lr
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8), keras.layers.Dense(10)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(images, labels, verbose=0)
        before = [np.asarray(value) for value in [*model.variables, *model.optimizer.variables]]
        read = 0

        def batches():
            global read
            while True:
                read += 1
                # The loop looks for Ctrl-C after at most 512 steps, so it has begun and has not ended.
                if read == 3000:
                    os.kill(os.getpid(), signal.SIGINT)
                yield images[:32], labels[:32]

        kinds = tf.TensorSpec((32, 64), tf.float64), tf.TensorSpec((32,), labels.dtype)
        data = tf.data.Dataset.from_generator(batches, output_signature=kinds)
        result = keras_lr.find_lr(model, data, num_steps=20_000, stop_on_divergence=False, max_lr=1e-3)
        after = [np.asarray(value) for value in [*model.variables, *model.optimizer.variables]]
        print(result.stop_reason, 0 < len(result.losses) < 20_000,
              all(np.array_equal(old, new) for old, new in zip(before, after)))
        model.fit(images, labels, verbose=0)
        print("trained on")
    """
    done = run_fresh("-c", textwrap.dedent(program), cwd=tmp_path)
    assert done.stdout.splitlines() == ["interrupted True True", "trained on"], done.stderr
    assert not list(tmp_path.iterdir())
