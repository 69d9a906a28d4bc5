"""A training that goes on after a range test in the same `fit` reads what it would have read without the test."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr


class Noting(keras.Model):
    """Notes the first value of each batch that it trains on."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.noted = tf.Variable(np.zeros(0), shape=[None], dtype=tf.float64, trainable=False)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> Any:
        self.noted.assign(tf.concat([self.noted, [tf.cast(data[0][0, 0], tf.float64)]], 0))
        return super().train_step(data)


class Untouched(keras_lr.LRRangeTest):
    """Trains on at the compiled rate."""

    def __init__(self, **options: Any) -> None:
        super().__init__(apply=True, verbose=0, max_lr=1e-3, **options)

    def _apply(self, suggestion: Any) -> None: ...


class Steps(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.counts.append(0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.counts[-1] += 1


def batch(number: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full((4, 2), number, "float32"), np.full((4, 1), number, "float32")


def fixed(count: int) -> Iterator[Any]:
    yield from (batch(number / count) for number in range(count))


def drawing(count: int) -> Iterator[Any]:
    own = np.random.default_rng(0)
    for _ in range(count):
        yield batch(np.random.rand() + random.random() + own.random() + float(tf.random.uniform(())))


def trained(data: Any, *callbacks: Any, **options: Any) -> tuple[list[int], list[float], list[float]]:
    keras.utils.set_random_seed(4)
    model, steps = Noting(), Steps()
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data|`shuffle=True` was passed")
        history = model.fit(data(), verbose=0, callbacks=[*callbacks, steps], **options).history
    return steps.counts, model.noted.numpy().tolist(), history["loss"]


@pytest.mark.parametrize("options", [{"epochs": 3}, {"epochs": 2, "steps_per_epoch": 5}], ids=["whole", "steps"])
@pytest.mark.parametrize("make", [fixed, drawing])
def test_a_generator_yields_the_same_batches_in_every_epoch(make: Any, options: Any) -> None:
    plain = trained(lambda: make(16), **options)
    for num_steps in (3, 40):
        assert trained(lambda: make(16), Untouched(num_steps=num_steps), **options) == plain
    if "steps_per_epoch" not in options:
        assert plain[0] == [16, 2, 2][: len(plain[0])]


def test_two_tests_in_one_fit_hand_the_same_batches_on() -> None:
    finders = [Untouched(num_steps=count) for count in (9, 5)]
    assert trained(lambda: fixed(16), *finders, epochs=2) == trained(lambda: fixed(16), epochs=2)


class Reader(keras.utils.PyDataset):
    begun = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.order = list(range(8))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return batch(self.order[index])

    def on_epoch_end(self) -> None:
        self.order.append(self.order.pop(0))


@pytest.mark.parametrize("workers", [1, 2])
def test_no_batch_that_workers_have_read_ahead_reaches_the_training(workers: int) -> None:
    def data() -> Any:
        return Reader(workers=workers, max_queue_size=3)

    plain = trained(data, epochs=2, shuffle=False)
    finder = Untouched(num_steps=11)
    assert trained(data, finder, epochs=2, shuffle=False) == plain
    assert plain[1] == [*range(1, 8), 0, *range(2, 8), 0, 1]


def test_a_reader_is_told_when_a_pass_begins() -> None:
    class Opened(Reader):
        def on_epoch_begin(self) -> None:
            self.begun += 1

        def __getitem__(self, index: int) -> Any:
            return batch(self.order[index] / 8 + (0 if self.begun else 4))

    model = Noting()
    model.compile("sgd", "mse")
    reader = Opened()
    result = keras_lr.find_lr(model, reader, shuffle=False, num_steps=20, max_lr=1e-4, min_lr=1e-6)
    assert result.losses.max() < 4
    assert (reader.begun, reader.order) == (0, list(range(8)))


WARNING = "The range test could not restore everything: "


def test_a_generator_that_is_used_up_is_warned_of() -> None:
    model = Noting()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=f"{WARNING}the generator has lost the batches that the test took") as caught:
        keras_lr.find_lr(model, fixed(16), num_steps=5)
    assert [one.filename for one in caught] == [__file__]
    with pytest.warns(UserWarning, match=WARNING):
        model.fit(fixed(16), verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=5)])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", WARNING)
        trained(lambda: fixed(16), Untouched(num_steps=5))


def test_what_fit_does_to_a_reader_before_the_test_is_warned_of_and_find_lr_does_nothing() -> None:
    model = Noting()
    model.compile("sgd", "mse")
    reader = Reader()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", WARNING)
        keras_lr.find_lr(model, reader, num_steps=5)
    assert reader.order == list(range(8))
    with pytest.warns(UserWarning, match=f"{WARNING}`fit` had read from the `PyDataset` before the test"):
        model.fit(reader, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=5)])


def test_a_random_state_that_moved_between_the_callback_and_its_fit_is_warned_of() -> None:
    class Drawing(Reader):
        def __getitem__(self, index: int) -> Any:
            return batch(random.random())

        def on_epoch_end(self) -> None: ...

    model = Noting()
    model.compile("sgd", "mse")
    finder = keras_lr.LRRangeTest(num_steps=5)
    random.random()
    with pytest.warns(UserWarning, match=f"{WARNING}`fit` had drawn from a random state before the test"):
        model.fit(Drawing(), verbose=0, callbacks=[finder])
    state = random.getstate()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", WARNING)
        model.fit(Drawing(), verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=5)])
    assert random.getstate() == state
