"""Data of random kinds, whose reading draws from random states, files, iterators and counters."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.reader_state import global_random_values

BATCHES, ROWS, WIDTH = 6, 8, 4
INPUTS = np.random.default_rng(0).normal(size=(BATCHES * ROWS, WIDTH)).astype("float32")
TARGETS = INPUTS[:, :1] * 2


class Source:
    """What a reader draws numbers in [0, 1) from; each way to draw keeps a state of its own.

    Args:
        ways: Names of methods.
        folder: Where a file may be written.
    """

    def __init__(self, ways: tuple[str, ...], folder: Path) -> None:
        self.ways = ways
        self.numpy_generator = np.random.default_rng(1)
        self.legacy_generator = np.random.RandomState(2)
        self.python_generator = random.Random(3)
        self.tensorflow_generator = tf.random.Generator.from_seed(4)
        self.keras_generator = keras.random.SeedGenerator(5)
        self.counted = 0
        self.order = np.arange(100)
        self.listed = list(range(100))
        self.iterator = (number / 1000 for number in itertools.count())
        self.cycle = itertools.cycle([0.1, 0.3, 0.2])
        path = folder / "numbers"
        path.write_text("".join(f"{number / 2000}\n" for number in range(2000)), encoding="utf-8")
        self.lines = path.open(encoding="utf-8")

    def draw(self) -> float:
        """The mean of one number per way."""
        return float(np.mean([getattr(self, way)() for way in self.ways]))

    def state(self) -> list[Any]:
        """All that can be compared from outside."""
        return [
            repr(self.numpy_generator.bit_generator.state),
            repr(self.legacy_generator.get_state(legacy=False)),
            self.python_generator.getstate(),
            self.tensorflow_generator.state.numpy().tolist(),
            np.asarray(self.keras_generator.state.value.numpy()).tolist(),
            self.counted,
            self.order.tolist(),
            list(self.listed),
            self.lines.tell(),
        ]

    def python(self) -> float:
        return random.random()

    def numpy(self) -> float:
        return float(np.random.rand())

    def tensorflow(self) -> float:
        return float(tf.random.uniform(()))

    def tensorflow_by_a_seed(self) -> float:
        return float(tf.random.uniform((), seed=7))

    def keras(self) -> float:
        return float(keras.random.uniform(()))

    def own_numpy(self) -> float:
        return float(self.numpy_generator.random())

    def own_legacy(self) -> float:
        return float(self.legacy_generator.rand())

    def own_python(self) -> float:
        return self.python_generator.random()

    def own_tensorflow(self) -> float:
        return float(self.tensorflow_generator.uniform(()))

    def own_keras(self) -> float:
        return float(keras.random.uniform((), seed=self.keras_generator))

    def counter(self) -> float:
        self.counted += 1
        return self.counted / 1000

    def reordered_array(self) -> float:
        self.order[:] = np.roll(self.order, 1)
        return float(self.order[0]) / 100

    def reordered_list(self) -> float:
        self.listed.append(self.listed.pop(0))
        return self.listed[0] / 100

    def generator(self) -> float:
        return float(next(self.iterator))

    def endless(self) -> float:
        return next(self.cycle)

    def file(self) -> float:
        return float(self.lines.readline())


WAYS = tuple(
    name for name, value in vars(Source).items() if callable(value) and name not in ("__init__", "draw", "state")
)


class Reader(keras.utils.PyDataset):
    """Draws for every batch, and may draw another order at the end of each pass."""

    def __init__(self, source: Source, *, reorders: bool, **options: Any) -> None:
        super().__init__(**options)
        self.source = source
        self.reorders = reorders
        self.order = list(range(BATCHES))

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Any:
        return batch_of(self.order[index], self.source.draw())

    def on_epoch_end(self) -> None:
        if self.reorders:
            self.order.sort(key=lambda _: self.source.draw())


def batch_of(index: int, number: float) -> tuple[np.ndarray, np.ndarray]:
    rows = slice(index * ROWS, (index + 1) * ROWS)
    return INPUTS[rows] + np.float32(number), TARGETS[rows]


class Example(NamedTuple):
    """One random kind of data.

    Attributes:
        name: What it is, for the report of a failure.
        make: Makes the arguments of `fit`, and the source.
        is_repeatable: Whether two equal programs read equal data.
        changes_itself_in_fit: Whether `fit` changes more than global random states before its first callback.
    """

    name: str
    make: Callable[[Path], tuple[tuple[Any, ...], Source]]
    is_repeatable: bool
    changes_itself_in_fit: bool


def random_example(seed: int) -> Example:
    """The example of a seed."""
    rng = random.Random(seed)
    kind = rng.choice(["arrays", "generator set", "numpy function", "py function", "random ops", "PyDataset"])
    ways = tuple(rng.sample(WAYS, rng.randint(1, 3)))
    if kind == "PyDataset":
        return _reader_example(rng, ways)
    steps: list[str] = (
        [] if kind == "arrays" else rng.sample(["shuffle", "unseeded", "cache", "prefetch", "random map"], 2)
    )

    def make(folder: Path) -> tuple[tuple[Any, ...], Source]:
        source = Source(ways, folder)
        if kind == "arrays":
            return (INPUTS, TARGETS), source
        return (with_steps(DATASETS[kind](source), steps),), source

    return Example(f"{kind} of {ways} with {steps}", make, True, False)


def _reader_example(rng: random.Random, ways: tuple[str, ...]) -> Example:
    workers, reorders = rng.choice([1, 1, 2]), rng.choice([False, True])

    def make(folder: Path) -> tuple[tuple[Any, ...], Source]:
        source = Source(ways, folder)
        return (Reader(source, reorders=reorders, workers=workers),), source

    keeps_a_state = reorders or not set(ways) <= {"python", "numpy", "keras"}
    return Example(f"PyDataset of {ways}, {workers=}, {reorders=}", make, workers == 1, keeps_a_state)


def generator_set(source: Source) -> tf.data.Dataset:
    def batches() -> Iterator[Any]:
        for index in range(BATCHES):
            yield batch_of(index, source.draw())

    signature = (tf.TensorSpec((ROWS, WIDTH)), tf.TensorSpec((ROWS, 1)))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def numpy_function_set(source: Source) -> tf.data.Dataset:
    def read(index: Any) -> Any:
        return batch_of(int(index), source.draw())

    return _mapped(lambda index: tf.numpy_function(read, [index], (tf.float32, tf.float32)))


def py_function_set(source: Source) -> tf.data.Dataset:
    def read(index: Any) -> Any:
        return batch_of(int(index), source.draw())

    return _mapped(lambda index: tf.py_function(read, [index], (tf.float32, tf.float32)))


def random_ops_set(source: Source) -> tf.data.Dataset:
    pairs = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(ROWS)
    return pairs.map(lambda x, y: (x + source.tensorflow_generator.uniform((WIDTH,)) + tf.random.uniform(()), y))


def _mapped(function: Any) -> tf.data.Dataset:
    def shaped(index: Any) -> Any:
        x, y = function(index)
        return tf.ensure_shape(x, (ROWS, WIDTH)), tf.ensure_shape(y, (ROWS, 1))

    return tf.data.Dataset.range(BATCHES).map(shaped)


DATASETS: dict[str, Any] = {
    "generator set": generator_set,
    "numpy function": numpy_function_set,
    "py function": py_function_set,
    "random ops": random_ops_set,
}


def with_steps(dataset: tf.data.Dataset, steps: list[str]) -> tf.data.Dataset:
    """The pipeline followed by the named steps."""
    for step in steps:
        dataset = {
            "shuffle": lambda dataset: dataset.shuffle(BATCHES, seed=9),
            "unseeded": lambda dataset: dataset.shuffle(BATCHES),
            "cache": lambda dataset: dataset.cache(),
            "prefetch": lambda dataset: dataset.prefetch(2),
            "random map": lambda dataset: dataset.map(lambda x, y: (x + tf.random.uniform((), seed=2), y)),
        }[step](dataset)
    return dataset


def states(source: Source) -> list[Any]:
    """Every state that a test may not move."""
    return [repr(global_random_values()), *source.state()]
