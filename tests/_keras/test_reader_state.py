"""The state of reading code: found wherever it hides, and put back."""

from __future__ import annotations

import array
import collections
import csv
import dataclasses
import functools
import io
import itertools
import queue
import random
import sqlite3
import tempfile
import threading
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_lr._keras.reader_state import ReaderState, ReplayedIterator, global_random_memories

seeded = np.random.default_rng(0)
tally = 0
listed = [3, 1, 2]


class Reader:
    """Keeps its state in every place that an object has."""

    shared = 0

    def __init__(self) -> None:
        self.python = random.Random(1)
        self.legacy = np.random.RandomState(2)
        self.numpy = np.random.default_rng(3)
        self.draw = np.random.default_rng(4).random
        self.generators = {"deep": [(np.random.default_rng(5),)]}
        self.tensorflow = tf.random.Generator.from_seed(6)
        self.keras = keras.random.SeedGenerator(7)
        self.flip = keras.layers.RandomFlip(seed=8)
        self.variable = tf.Variable(0.0)
        self.order = np.arange(8)
        self.queue = collections.deque([1, 2, 3])
        self.names = {"a", "b"}
        self.bytes = bytearray(b"abc")
        self.cache: dict[int, int] = {}
        self.count = 0
        self.position = iter([10, 11, 12, 13])
        self.counter = itertools.count()
        self.squares = (number**2 for number in itertools.count())
        self.partial = functools.partial(self.python.choice, [1, 2, 3])

    def read(self) -> list[Any]:
        global tally
        tally += 1
        type(self).shared += 1
        self.count += 1
        self.cache[self.count] = self.count
        self.queue.rotate()
        self.names.add(str(self.count))
        self.bytes[0] += 1
        listed.append(listed.pop(0))
        self.numpy.shuffle(self.order)
        self.variable.assign_add(1.0)
        self.flip(tf.zeros((1, 4, 4, 1)), training=True)
        return [
            tally,
            self.shared,
            self.count,
            list(self.queue),
            sorted(self.names),
            bytes(self.bytes),
            sorted(self.cache),
            list(listed),
            self.order.tolist(),
            float(self.variable.numpy()),
            self.python.random(),
            self.legacy.rand(),
            self.draw(),
            self.generators["deep"][0][0].random(),
            seeded.random(),
            float(self.tensorflow.uniform(())),
            float(keras.random.uniform((), seed=self.keras)),
            self.flip.generator.state.numpy().tolist() if hasattr(self.flip, "generator") else 0,
            next(self.position),
            next(self.counter),
            next(self.squares),
            self.partial(),
        ]


def test_every_place_of_an_object_is_restored() -> None:
    reader = Reader()
    first = [reader.read(), reader.read()]
    state = ReaderState([reader])
    assert not state.has_changed()
    expected = reader.read()
    assert state.has_changed()
    state.restore()
    assert state.unrestored() == []
    assert reader.read() == expected
    assert expected not in first


def test_what_layers_metrics_and_optimizers_hold_is_restored() -> None:
    layer, metric, optimizer = keras.layers.Dense(1), keras.metrics.Mean(), keras.optimizers.SGD(momentum=0.9)
    layer.build((None, 1))
    optimizer.build(layer.trainable_variables)
    held = types.SimpleNamespace(parts={"layer": [layer], "metric": metric, "optimizer": optimizer})
    state = ReaderState([held])
    variables = [*layer.variables, *metric.variables, *optimizer.variables]
    before = [variable.numpy() for variable in variables]
    for variable in variables:
        variable.assign(variable + 1)
    state.restore()
    assert [variable.numpy().tolist() for variable in variables] == [value.tolist() for value in before]


def test_what_is_not_drawn_stays_the_same_object() -> None:
    reader = Reader()
    squares, position, values = reader.squares, reader.position, dict(vars(reader))
    ReaderState([reader]).restore()
    assert reader.squares is squares
    assert reader.position is position
    assert vars(reader) == values


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_an_iterator_goes_on_where_it_was_after_any_number_of_tests(taken: int) -> None:
    reader = Reader()
    next(reader.squares)
    for _ in range(3):
        state = ReaderState([reader])
        list(itertools.islice(reader.squares, taken))
        state.restore()
    assert list(itertools.islice(reader.squares, 8)) == [number**2 for number in range(1, 9)]


class Slotted:
    __slots__ = ("__hidden", "late", "number")

    def __init__(self) -> None:
        self.number = self.__hidden = 0

    def count(self) -> int:
        self.number += 1
        self.__hidden += 2
        self.late = getattr(self, "late", 0) + 3
        return self.number + self.__hidden + self.late


@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    generator: Any


class Attributes(dict):  # type: ignore[type-arg]
    """A dict whose keys are attributes, as in many configurations."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__

    def count(self) -> int:
        self.number += 1
        return int(self.number)


class Listed(list):  # type: ignore[type-arg]
    def append(self, value: Any) -> None:
        raise AssertionError("called in place of the list's own")

    def count_up(self) -> int:
        list.append(self, 0)
        return len(self)


def of_namespace() -> Any:
    settings = types.SimpleNamespace(number=0)
    return settings, lambda: vars(settings).update(number=settings.number + 1) or settings.number


def of_user_dict() -> Any:
    kept, listed = collections.UserDict(number=0), collections.UserList([1])
    chained = collections.ChainMap({"number": 0}, {})

    def read() -> Any:
        kept["number"] += 1
        chained["number"] += 1
        listed.append(1)
        return kept["number"], chained["number"], len(listed)

    return (kept, listed, chained), read


def of_queue() -> Any:
    waiting: queue.Queue[int] = queue.Queue()
    for number in range(20):
        waiting.put(number)
    return waiting, waiting.get


def of_typed_arrays() -> Any:
    typed, viewed = array.array("d", [0.0]), memoryview(bytearray(1))
    objects = np.array([[0], None], dtype=object)

    def read() -> Any:
        typed[0] += 1
        viewed[0] += 1
        objects[0][0] += 1
        return typed[0], viewed[0], objects[0][0]

    return (typed, viewed, objects), read


def of_files_in_memory() -> Any:
    data, text = io.BytesIO(bytes(range(50))), io.StringIO("0123456789" * 5)

    def read() -> Any:
        taken = data.read(2), text.read(3)
        data.write(b"x")
        return taken

    return (data, text), read


def of_a_file_for_update() -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115
    file.write(bytes(range(50)))
    file.seek(0)
    return file, lambda: file.read(2)


def of_its_own(make: Any, read: Any) -> Any:
    def place() -> Any:
        kept = make()
        return kept, lambda: read(kept)

    return place


PLACES = {
    "slots": of_its_own(Slotted, Slotted.count),
    "frozen slots": of_its_own(lambda: Frozen(np.random.default_rng(1)), lambda kept: kept.generator.random()),
    "dict of a user": of_its_own(lambda: Attributes(number=0), Attributes.count),
    "list of a user": of_its_own(Listed, Listed.count_up),
    "namespace": of_namespace,
    "standard library": of_user_dict,
    "queue": of_queue,
    "typed arrays": of_typed_arrays,
    "files in memory": of_files_in_memory,
    "file for update": of_a_file_for_update,
}


@pytest.mark.parametrize("place", PLACES)
def test_places_outside_of_plain_attributes_are_restored(place: str) -> None:
    kept, read = PLACES[place]()
    _, read_plain = PLACES[place]()
    state = ReaderState([kept])
    for _ in range(3):
        read()
    state.restore()
    assert [read() for _ in range(4)] == [read_plain() for _ in range(4)]


def closures() -> Any:
    count, generator = 0, np.random.default_rng(1)
    numbers = (number for number in itertools.count())

    def read() -> list[Any]:
        nonlocal count
        count += 1
        return [count, generator.random(), next(numbers), inner()]

    def inner() -> float:
        return float(seeded.random())

    return read


@pytest.mark.parametrize(
    "wrap", [lambda read: read, functools.partial, lambda read: [read], lambda read: {"a": (read,)}]
)
def test_closures_and_global_names_are_followed(wrap: Any) -> None:
    read = closures()
    read()
    state = ReaderState([wrap(read)])
    expected = [read(), read()]
    state.restore()
    assert [read(), read()] == expected


def test_files_are_read_on_from_where_they_stood(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("".join(f"{row},{row**2}\n" for row in range(50)), encoding="utf-8")

    class Files:
        def __init__(self) -> None:
            self.text, self.binary = path.open(encoding="utf-8"), path.open("rb")
            self.table = csv.reader(path.open(encoding="utf-8"))
            self.memory = io.BytesIO(path.read_bytes())

        def read(self) -> list[Any]:
            return [next(self.text), self.binary.readline(), next(self.table)]

    files = Files()
    files.read()
    state = ReaderState([files])
    expected = [files.read() for _ in range(3)]
    state.restore()
    assert [files.read() for _ in range(3)] == expected
    assert [row for row, *_ in expected] == ["1,1\n", "2,4\n", "3,9\n"]


def test_a_generator_that_shares_a_state_with_its_owner_stays_in_step() -> None:
    class Sharing:
        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)
            self.drawn = self.read = 0
            self.numbers = self.generate()

        def generate(self) -> Any:
            while True:
                self.drawn += 1
                yield self.rng.random()

        def one(self) -> tuple[float, int, int]:
            self.read += 1
            return next(self.numbers), self.drawn, self.read

    plain, tested = Sharing(), Sharing()
    state = ReaderState([tested])
    for _ in range(3):
        tested.one()
    state.restore()
    assert [tested.one() for _ in range(6)] == [plain.one() for _ in range(6)]


def test_a_generator_that_draws_from_global_states_is_replayed_with_them() -> None:
    def numbers() -> Any:
        while True:
            yield random.random() + np.random.rand()

    random.seed(0)
    np.random.seed(0)
    expected = [*itertools.islice(numbers(), 5), random.random()]
    random.seed(0)
    np.random.seed(0)
    replayed = ReplayedIterator(numbers(), global_random_memories()).record()
    python, numpy = random.getstate(), np.random.get_state()
    list(itertools.islice(replayed, 3))
    random.setstate(python)
    np.random.set_state(numpy)
    replayed.hand_back()
    assert [*itertools.islice(replayed, 5), random.random()] == expected


def test_what_cannot_be_restored_is_said() -> None:
    class Large:
        def __init__(self) -> None:
            self.images = np.zeros((9, 2**20))

    large = Large()
    state = ReaderState([large])
    assert state.unrestored() == []
    large.images += 1
    assert state.unrestored() == ["an array of shape (9, 1048576) was changed in place"]

    frame = pd.DataFrame({"weight": np.ones(5)})
    state = ReaderState([[frame]])
    assert state.unrestored() == []
    frame.loc[2, "weight"] = 2.0
    assert state.unrestored() == ["a DataFrame of shape (5, 1) was changed in place"]

    cursors = [sqlite3.connect(":memory:").execute("values (1), (2), (3)")]
    state = ReaderState([cursors])
    assert cursors[0].fetchone() == (1,)
    assert state.unrestored() == ["a Cursor was moved by its `fetchone`"]

    @tf.function
    def noise() -> Any:
        return tf.random.uniform(())

    def read() -> Any:
        return noise()

    state = ReaderState([read])
    assert state.unrestored() == []
    read()
    assert "`tf.function` draws from a stateful TensorFlow operation" in state.unrestored()[0]


def test_foreign_objects_are_left_alone() -> None:
    class Odd:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.thread = threading.current_thread()
            self.system = random.SystemRandom()
            self.closed = io.StringIO()
            self.closed.close()
            self.itself = self
            self.model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
            self.frozen = np.arange(3)
            self.frozen.flags.writeable = False

        @property
        def fails(self) -> int:
            raise RuntimeError("asked")

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    odd = Odd()
    kept = dict(vars(odd))
    state = ReaderState([odd, None, 3, "text", Odd, np])
    odd.itself = None  # type: ignore[assignment]
    state.restore()
    assert vars(odd) == kept


def test_what_is_near_is_put_back_though_more_is_reached_than_can_be_followed() -> None:
    class Crowded:
        def __init__(self) -> None:
            self.before = [tf.Variable(0.0)]
            self.crowd = [[[number] for number in range(900)] for _ in range(30)]
            self.after = [tf.Variable(0.0)]

    reader = Crowded()
    state = ReaderState([reader])
    reader.before[0].assign(1.0)
    reader.after[0].assign(1.0)
    state.restore()
    assert (float(reader.before[0]), float(reader.after[0])) == (0.0, 0.0)
