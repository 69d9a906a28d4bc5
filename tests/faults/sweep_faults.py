"""Faults during a range test: signals, broken data, failing steps, no memory, a user's callback, the clock."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_lr
from tests.faults.held import Held, check_trains_on
from tests.faults.trapped_model import Trapped, failing_assertion, huge_allocation, trapped
from tests.training_models import classifier

STEPS = 40
BATCH = 16


class BrokenBatches(keras.utils.PyDataset):
    """Batches, one of which cannot be read."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, broken: int) -> None:
        super().__init__()
        self._batches = (images, labels, broken)

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels, broken = self._batches
        if index == broken:
            raise OSError("the disk went away")
        return images[index * BATCH : (index + 1) * BATCH], labels[index * BATCH : (index + 1) * BATCH]


class SweepFaults:
    """Injects faults into range tests of a few long-lived models, and checks the model after each.

    Args:
        generator: Chooses the random moments.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        images, labels = load_digits(return_X_y=True)
        self._images, self._labels = (images / 16).astype("float32"), labels.astype("int32")
        self._action: Callable[[], Any] = lambda: None

    @cached_property
    def _data(self) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((self._images[:640], self._labels[:640])).shuffle(640).batch(BATCH)

    @cached_property
    def _plain(self) -> keras.Model:
        keras.utils.set_random_seed(3)
        model = classifier(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 1000), momentum=0.9))
        model.fit(self._data, verbose=0)
        return model

    @cached_property
    def _eager(self) -> Trapped:
        return trapped(lambda calls, trap: self._action(), self._data.take(2), eager=True)

    @cached_property
    def _asserting(self) -> Trapped:
        return trapped(failing_assertion, self._data)

    @cached_property
    def _allocating(self) -> Trapped:
        return trapped(huge_allocation, self._data, optimizer="rmsprop")

    def interrupt(self, *, presses: int = 1) -> bool:
        """Ctrl-C, `presses` times, from another thread at a random moment."""
        model, moments = self._plain, self._moments
        held = Held(model)
        with pressed(moments, presses) as ended:
            result = sweep(model, self._data, in_fit=self._coin(), verbose=False)
            assert result is None or result.stop_reason in ("completed", "diverged", "interrupted"), result.stop_reason
            ended(result is not None and result.stop_reason != "interrupted")
        self._after(model, held)
        return ended.struck

    def interrupt_twice(self) -> bool:
        """Two Ctrl-C at a random moment."""
        return self.interrupt(presses=2)

    def interrupt_in_a_step(self) -> bool:
        """Ctrl-C during a Python step."""
        self._action = lambda: signal.raise_signal(signal.SIGINT)
        held = self._arm(self._eager, most=10)
        result = keras_lr.find_lr(self._eager, self._data, num_steps=12, verbose=False)
        assert result.stop_reason == "interrupted", result.stop_reason
        return self._after(self._eager, held)

    def data_generator(self) -> bool:
        """A generator that raises at a random batch."""
        broken = int(self._generator.integers(0, STEPS - 1))

        def batches() -> Iterator[Any]:
            yield from (BrokenBatches(self._images, self._labels, broken)[index] for index in range(STEPS))

        signature = (tf.TensorSpec((None, 64)), tf.TensorSpec((None,), tf.int32))
        data = tf.data.Dataset.from_generator(batches, output_signature=signature)
        return self._refused(self._plain, data, "the disk went away")

    def data_reader(self) -> bool:
        """A `PyDataset` that raises at a random batch."""
        broken = int(self._generator.integers(0, STEPS - 1))
        return self._refused(self._plain, BrokenBatches(self._images, self._labels, broken), "the disk went away")

    def eager_step(self) -> bool:
        """A Python step that raises."""

        def fail() -> None:
            raise RuntimeError("trapped")

        self._action = fail
        return self._sprung(self._eager, "trapped", most=10)

    def eager_memory(self) -> bool:
        """A Python step that runs out of memory."""
        self._action = lambda: np.empty(2**47)
        return self._sprung(self._eager, "Unable to allocate", most=10)

    def graph_step(self) -> bool:
        """A compiled step with an op that fails."""
        return self._sprung(self._asserting, "trapped")

    def graph_memory(self) -> bool:
        """A compiled step that runs out of memory."""
        return self._sprung(self._allocating, "OOM when allocating")

    def user_callback(self) -> bool:
        """A user's callback that raises directly after the test."""

        def fail(logs: Any) -> None:
            raise ConnectionError("no network")

        model = self._plain
        held = Held(model)
        later = keras.callbacks.LambdaCallback(on_train_begin=fail)
        with raising("no network"):
            model.fit(self._data, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=STEPS, verbose=False), later])
        return self._after(model, held)

    def clock(self) -> bool:
        """A system clock that jumps back and forth by days."""
        held = Held(self._plain)
        with jumping_clock(self._generator):
            result = sweep(self._plain, self._data, in_fit=self._coin(), verbose=False)
        assert result.stop_reason in ("completed", "diverged"), result.stop_reason
        return self._after(self._plain, held)

    def _sprung(self, model: Trapped, words: str, *, most: int = STEPS - 1) -> bool:
        held = self._arm(model, most=most)
        return self._refused(model, self._data, words, held)

    def _refused(self, model: keras.Model, data: Any, words: str, held: Held | None = None) -> bool:
        held = held or Held(model)
        with raising(words):
            sweep(model, data, in_fit=self._coin(), verbose=False)
        return self._after(model, held)

    def _arm(self, model: Trapped, *, most: int) -> Held:
        model.arm(int(self._generator.integers(0, most)))
        return Held(model)

    def _after(self, model: keras.Model, held: Held) -> bool:
        held.check()
        if isinstance(model, Trapped):
            model.disarm()
        check_trains_on(model, self._data.take(2))
        return True

    @cached_property
    def _moments(self) -> Moments:
        """Moments within a sweep that is already traced."""
        sweep(self._plain, self._data, in_fit=False, verbose=False)
        began = time.perf_counter()
        sweep(self._plain, self._data, in_fit=True, verbose=False)
        return Moments(self._generator, seconds=time.perf_counter() - began)

    def _coin(self) -> bool:
        return bool(self._generator.integers(0, 2))


def sweep(model: keras.Model, data: Any, *, in_fit: bool, verbose: bool) -> Any:
    """The result of a range test by `find_lr` or within `fit`, which trains no further steps."""
    options: dict[str, Any] = {"num_steps": STEPS, "stop_on_divergence": False, "max_lr": 0.01, "verbose": verbose}
    if not in_fit:
        return keras_lr.find_lr(model, data, **options)
    finder = keras_lr.LRRangeTest(**options)
    model.fit(data, verbose=0, callbacks=[finder])
    return finder.result


class Moments:
    """Random moments of a call, in seconds after its start.

    Args:
        generator: Chooses the moments.
        seconds: How long the call took once. It may take less time later, so each moment after its end halves this.
    """

    def __init__(self, generator: np.random.Generator, *, seconds: float) -> None:
        self._generator = generator
        self._seconds = seconds

    def draw(self) -> float:
        """The next moment."""
        return float(self._generator.uniform(0, self._seconds))

    def missed(self) -> None:
        """Notes that the last moment was after the end of the call."""
        self._seconds /= 2


class Struck:
    """Whether an interrupt came before the end of its target."""

    struck = True

    def __call__(self, ended: bool) -> None:
        self.struck = not ended


@contextlib.contextmanager
def pressed(moments: Moments, presses: int = 1) -> Iterator[Struck]:
    """Presses Ctrl-C at a random moment of the block, and suppresses the `KeyboardInterrupt`."""
    struck, seconds = Struck(), moments.draw()

    def press() -> None:
        time.sleep(seconds)
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.01)

    thread = threading.Thread(target=press)
    thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        yield struck
    while thread.is_alive():
        with contextlib.suppress(KeyboardInterrupt):
            thread.join()
    if not struck.struck:
        moments.missed()


@contextlib.contextmanager
def raising(words: str, *, kind: type[Exception] = Exception) -> Iterator[None]:
    """Asserts that the block raises a `kind` with `words` in its message."""
    caught = None
    try:
        yield
    except kind as error:
        caught = error
    assert words in str(caught), f"not the error with {words!r}: {type(caught).__name__}: {str(caught)[:200]}"


@contextlib.contextmanager
def jumping_clock(generator: np.random.Generator) -> Iterator[None]:
    """Shifts each reading of `time.time` by up to ten days in either direction."""
    true = time.time

    def jumping() -> float:
        return true() + generator.uniform(-864_000, 864_000)

    with mock.patch("time.time", jumping):
        yield
