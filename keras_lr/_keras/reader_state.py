"""What a user's Python code remembers from one call to the next: found, copied, and put back.

This is the code that reads the data, and that of a model whose steps run in Python.
"""

from __future__ import annotations

import argparse
import array
import collections
import copy
import functools
import io
import pickle
import queue
import random
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from keras_lr._keras.model import attributes_of_keras
from keras_lr._keras.snapshot import VariableSnapshot, random_sources
from keras_lr._utils.formatting import with_article

_LIBRARIES = frozenset(sys.stdlib_module_names) | {
    *("absl", "cv2", "google", "h5py", "jax", "keras", "keras_lr", "keras_tuner", "matplotlib", "numpy", "optree"),
    *("pandas", "PIL", "_pytest", "pluggy", "pytest", "scipy", "sklearn", "tensorflow", "torch"),
}
"""Packages whose functions and objects keep nothing that depends on which data were read."""

_WRAPPED = {"tensorflow": ("_func", "_generator"), "tempfile": ("file",)}
"""Where objects of a package keep what they wrap: a Python function, an open file."""

_MAX_OBJECTS = 20_000
_MAX_FOLLOWED = 1_000
"""Longer containers are copied, but what they hold is not looked into."""

_MAX_COPIED_BYTES = 64 * 2**20
"""Larger arrays are not copied; if a sample of their elements changes, that is said."""

_SAMPLED = 256
_CONTAINERS = (dict, list, bytearray, array.array, set, collections.deque)
_SEQUENCES = (list, bytearray, array.array)
HOLDERS = (
    argparse.Namespace,
    collections.ChainMap,
    collections.UserDict,
    collections.UserList,
    queue.Queue,
    types.SimpleNamespace,
)
"""Objects of the standard library that hold what a user puts into them."""
_POSITIONED: tuple[type, ...] = (type(iter([])), type(iter(())), type(iter(range(0))), type(iter("")))
"""Iterators that a copy continues independently."""

_OF_KERAS = (tf.Variable, keras.Variable, keras.Layer, keras.metrics.Metric, keras.optimizers.Optimizer)
_RANDOM_OPERATIONS = ("Random", "Multinomial", "TruncatedNormal", "ParameterizedTruncatedNormal", "StatefulRandom")
_LOST: Any = object()
"""The position of a file that cannot be asked for it, as in the middle of a loop over its lines."""


class Memory:
    """One place where reading leaves a trace, with its value at construction.

    Args:
        get: Returns the present value, as a copy.
        put: Sets a value that `get` returned.
        cheap: Whether reading the value takes microseconds.
    """

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], None], *, cheap: bool = True) -> None:
        self.get, self.put, self.cheap = get, put, cheap
        self.follows_an_iterator = False
        self._value = self._settled = get()

    def restore(self) -> None:
        """Puts the value at construction back, unless it is as it was when it settled."""
        if not self.follows_an_iterator and (patch := self.patch(self.get(), self._settled)) is not None:
            self._put_back(patch)

    def settle(self) -> None:
        """Takes the present value for one that stays as long as nothing changes it again."""
        self._settled = self.get()

    def has_changed(self) -> bool:
        """Whether another value is there than at construction."""
        return self.patch(self.get(), self._value) is not None

    def patch(self, before: Any, after: Any) -> Any:
        """What turns `before` into `after`; None if nothing does."""
        return None if _same(before, after) else after

    def apply(self, patch: Any) -> None:
        """Changes the present value by a patch."""
        self.put(patch)

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What was there at construction and what is there now, where they differ, by name."""
        now = self.get()
        return {} if self.patch(self._value, now) is None else {"": (self._value, now)}

    def holds_objects(self, value: Any) -> bool:
        """Whether `value` may hold objects of the user's, unlike the state of a generator or the values of an array."""
        return isinstance(value, list)

    def undo(self, names: Iterable[str]) -> None:
        """Puts back what `changes` names."""
        if list(names):
            self.put(self._value)

    def _put_back(self, patch: Any) -> None:
        """Puts what a patch changes back as it was at construction."""
        self.put(self._value)


class _Bindings(Memory):
    """Names and what they are bound to."""

    def patch(self, before: Any, after: Any) -> Any:
        """The names that are bound to another object, with a mark for each that is gone."""
        changed = {name: value for name, value in after.items() if name not in before or not _is(before[name], value)}
        gone = dict.fromkeys(before.keys() - after.keys(), _LOST)
        return changed | gone or None

    def apply(self, patch: Any) -> None:
        """Rebinds these names and leaves the others."""
        now = self.get() | patch
        self.put({name: value for name, value in now.items() if value is not _LOST})

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What each name was and is bound to, where they differ."""
        patch = self.patch(self._value, self.get()) or {}
        return {name: (self._value.get(name, _LOST), one) for name, one in patch.items()}

    def holds_objects(self, value: Any) -> bool:
        """True: a name can be bound to anything."""
        return True

    def undo(self, names: Iterable[str]) -> None:
        """Binds the names to what they were bound to."""
        if patch := {name: self._value.get(name, _LOST) for name in names}:
            self.apply(patch)

    def _put_back(self, patch: Any) -> None:
        self.undo(patch)


class ReplayedIterator:
    """An iterator whose items can be handed back: it yields them again, then goes on.

    A draw may have changed other things, such as the random state that a generator draws from. When its item is yielded
    again, they change in the same way.

    Args:
        source: The iterator.
        watched: What a draw may change.

    Attributes:
        methods: Names of the iterator's own methods that were used since `record`, such as `fetchone` of a cursor. What
            they draw is not recorded.
    """

    def __init__(self, source: Iterator[Any], watched: Sequence[Memory] = ()) -> None:
        self._source = source
        self._watched = watched
        self._ahead: collections.deque[Any] = collections.deque()
        self._drawn: list[Any] = []
        self._recording = False
        self._lock = threading.RLock()
        self.methods: set[str] = set()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            if self._ahead:
                item, effects = drawn = self._ahead.popleft()
                for memory, patch in effects:
                    memory.apply(patch)
            elif self._recording:
                item, _ = drawn = self._draw()
            else:
                return next(self._source)
            if self._recording:
                self._drawn.append(drawn)
            return item

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._source, name)
        if self._recording and callable(value) and not name.startswith("__"):
            self.methods.add(name)
        return value

    def record(self) -> ReplayedIterator:
        """Keeps what is drawn from now on."""
        self._recording = True
        self.methods.clear()
        return self

    def hand_back(self) -> None:
        """Makes every item since `record` come again, and ends the recording."""
        with self._lock:
            self._ahead.extendleft(reversed(self._drawn))
            self._drawn.clear()
            self._recording = False

    def stands_for(self, iterator: Any) -> bool:
        """Whether it yields what `iterator` would, since nothing has been drawn from that one."""
        return self._source is iterator and not self._drawn and not self._ahead

    @property
    def has_drawn(self) -> bool:
        """Whether an item has been drawn since `record`."""
        return bool(self._drawn)

    @property
    def has_more_to_repeat(self) -> bool:
        """Whether its next item has been handed back."""
        return bool(self._ahead)

    def _draw(self) -> tuple[Any, list[Any]]:
        before = [memory.get() for memory in self._watched]
        item = next(self._source)
        effects = []
        for memory, old in zip(self._watched, before, strict=True):
            new = memory.get()
            if new is _LOST:
                memory.follows_an_iterator = True
            elif (patch := memory.patch(old, new)) is not None:
                effects.append((memory, patch))
        return item, effects


class _Position:
    """An iterator over a sequence, and a copy that stands where it stood."""

    def __init__(self, iterator: Any) -> None:
        self.live = iterator
        self._former = copy.copy(iterator)

    def restored(self) -> Any:
        """The iterator, or one that stands where it stood if it has moved."""
        return self._former if self.has_moved() else self.live

    def has_moved(self) -> bool:
        """Whether an item has been drawn."""
        return bool(self.live.__reduce__() != self._former.__reduce__())


class _Recording:
    """Any other iterator, whose draws are recorded from now on."""

    def __init__(self, iterator: Any, watched: Sequence[Memory]) -> None:
        self._iterator = iterator
        self.live = iterator if isinstance(iterator, ReplayedIterator) else ReplayedIterator(iterator, watched)
        self.live.record()

    def restored(self) -> Any:
        """The iterator itself, or the one that first yields again what has been drawn."""
        self.live.hand_back()
        return self.live if self.live.has_more_to_repeat else self._iterator

    def has_moved(self) -> bool:
        """Whether an item has been drawn."""
        return self.live.has_drawn

    def unrestored(self) -> list[str]:
        """What cannot be handed back, each as a clause."""
        name = type(self._iterator).__name__
        return [f"{with_article(name)} was moved by its `{method}`" for method in sorted(self.live.methods)]


def global_random_values() -> list[Any]:
    """The states of the generators that any Python code can draw from, to be compared by `same_values`."""
    return [get() for get, _ in random_sources()]


def same_values(one: list[Any], other: list[Any]) -> bool:
    """Whether two results of `global_random_values` are equal."""
    return all(map(_same, one, other))


def global_random_memories() -> list[Memory]:
    """The random states that any Python code can draw from."""
    return [Memory(get, put) for get, put in random_sources()]


class ReaderState:
    """The state of the Python code that reads data: what its objects, closures and global names hold.

    Starting from `roots`, this follows attributes, containers, closures, and the global names that a function uses.
    It copies generators of random numbers, positions of files, variables, containers, small arrays, and what every
    name is bound to. Iterators cannot be copied; what is drawn from them is recorded and handed back. Modules and the
    objects of libraries are not looked into, except a `PyDataset`.

    Args:
        roots: The user's own objects and functions.
        records: Whether iterators are followed, too: each name of one is bound to one that records it.
    """

    def __init__(self, roots: Iterable[Any], *, records: bool = True) -> None:
        self._seen: dict[int, Any] = {}
        self._memories: list[Memory] = []
        self._variables: list[Any] = []
        self._samples: list[tuple[Any, Any]] = []
        self._functions: list[Any] = []
        self._places: list[tuple[Callable[[Any], None], _Position | _Recording]] = []
        self._bytes = 0
        self._waiting = collections.deque[tuple[Any, Callable[[Any], None]]]((root, _ignore) for root in roots)
        iterators: list[tuple[Any, Callable[[Any], None]]] = []
        while self._waiting and len(self._seen) < _MAX_OBJECTS:
            # The nearest first: code may lead to more objects than can be followed.
            value, rebind = self._waiting.popleft()
            if _is_plain_iterator(value):
                iterators.append((value, rebind))
            elif id(value) not in self._seen:
                self._seen[id(value)] = value
                self._visit(value)
        self._snapshot = VariableSnapshot(self._variables)
        self._record(iterators if records else [])

    def seen(self) -> list[Any]:
        """Every object that was followed."""
        return list(self._seen.values())

    def restore(self) -> None:
        """Puts everything back."""
        self._snapshot.restore()
        for memory in self._memories:
            memory.restore()
        for place, iterator in self._places:
            place(iterator.restored())

    def settle(self) -> None:
        """Takes what has changed so far, as by building a model, for what stays unless it changes again."""
        for memory in self._memories:
            memory.settle()

    def undo_plain(self) -> bool:
        """Puts the variables back, and what else has changed if these are plain values such as a flag or a count.

        Where a call has also made objects, such as a variable at its first time, the values stay: a flag may say so.

        Returns:
            Whether any value was put back.
        """
        self._snapshot.restore()
        found = [(memory, memory.changes()) for memory in self._memories]
        if any(_is_made(now) for memory, changes in found for _, now in changes.values() if memory.holds_objects(now)):
            return False
        undone = False
        for memory, changes in found:
            names = [
                name
                for name, (before, now) in changes.items()
                if not memory.holds_objects(now) or (_is_plain(before) and _is_plain(now) and before != now)
            ]
            memory.undo(names)
            undone |= bool(names)
        return undone

    def has_changed(self) -> bool:
        """Whether anything is not as it was at construction."""
        moved = any(memory.has_changed() for memory in self._memories) or self._snapshot.has_changed()
        return moved or any(iterator.has_moved() for _, iterator in self._places)

    def unrestored(self) -> list[str]:
        """What `restore` cannot put back although it has changed, each as a clause."""
        found = [
            f"{_named(data)} of shape {data.shape} was changed in place"
            for data, sample in self._samples
            if not _same(_sample(data), sample)
        ]
        found += [
            clause
            for iterator in {id(one): one for _, one in self._places}.values()
            if isinstance(iterator, _Recording)
            for clause in iterator.unrestored()
        ]
        if any(map(_draws_statefully, self._functions)):
            found.append("a `tf.function` draws from a stateful TensorFlow operation such as `tf.random.uniform`")
        return found

    def _record(self, iterators: list[tuple[Any, Callable[[Any], None]]]) -> None:
        watched = [*global_random_memories(), *(memory for memory in self._memories if memory.cheap)]
        known: dict[int, _Position | _Recording] = {}
        for iterator, place in iterators:
            if place is _ignore:
                continue
            if id(iterator) not in known:
                positioned = isinstance(iterator, _POSITIONED)
                known[id(iterator)] = _Position(iterator) if positioned else _Recording(iterator, watched)
            place(known[id(iterator)].live)
            self._places.append((place, known[id(iterator)]))

    def _visit(self, value: Any) -> None:
        if isinstance(value, (str, bytes, int, float, complex, type, types.ModuleType, type(None))):
            return
        if isinstance(value, (tf.random.Generator, keras.random.SeedGenerator)):
            self._variables.append(value.state)
        elif isinstance(value, (tf.Variable, keras.Variable)):
            self._variables.append(value)
        elif isinstance(value, keras.Layer):
            self._variables += value.variables
            self._visit_layer(value)
        elif isinstance(value, np.ndarray):
            self._visit_array(value)
        elif isinstance(value, memoryview):
            self._wait(value.obj)
        elif isinstance(value, (pd.DataFrame, pd.Series)):
            self._samples.append((value, _sample(value)))
        elif (memory := _random_memory(value) or _file_memory(value)) is not None:
            self._memories.append(memory)
        elif isinstance(value, np.random.Generator):
            self._wait(value.bit_generator)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, (types.MethodType, types.BuiltinMethodType)):
            self._wait(value.__self__, getattr(value, "__func__", None))
        elif isinstance(value, functools.partial):
            self._wait(value.func, *value.args, *value.keywords.values())
        elif isinstance(value, (tuple, frozenset)):
            self._wait(*value)
        elif isinstance(value, _CONTAINERS) and _is_known(type(value)):
            self._visit_container(value)
        elif hasattr(type(value), "experimental_get_tracing_count"):
            self._functions.append(value)
            self._wait(getattr(value, "python_function", None))
        else:
            self._visit_object(value)

    def _wait(self, *values: Any) -> None:
        self._waiting += [(value, _ignore) for value in values[:_MAX_FOLLOWED]]

    def _bind(self, values: dict[Any, Any], put: Callable[[Any, Any], Any]) -> None:
        """Follows values that can be replaced by `put(name, value)`."""
        if len(values) <= _MAX_FOLLOWED:
            self._waiting += [(value, functools.partial(put, name)) for name, value in values.items()]

    def _visit_array(self, values: np.ndarray) -> None:
        if values.dtype == object:
            self._wait(*values.ravel()[:_MAX_FOLLOWED])
        if not values.flags.writeable or isinstance(values, np.memmap):
            return
        self._bytes += values.nbytes
        if self._bytes <= _MAX_COPIED_BYTES:
            self._memories.append(Memory(values.copy, lambda former: np.copyto(values, former), cheap=False))
        else:
            self._bytes -= values.nbytes
            self._samples.append((values, _sample(values)))

    def _visit_container(self, value: Any) -> None:
        cheap = len(value) <= _MAX_FOLLOWED
        kind = _plain_kind(type(value))
        if isinstance(value, dict):
            self._memories.append(_Bindings(lambda: dict(value), lambda former: _refill(value, former), cheap=cheap))
            self._bind(value, functools.partial(kind.__setitem__, value))
        elif isinstance(value, _SEQUENCES):
            everything = slice(None)
            put = functools.partial(kind.__setitem__, value)
            get = functools.partial(kind.__getitem__, value, everything)
            self._memories.append(Memory(get, functools.partial(put, everything), cheap=cheap))
            if isinstance(value, list):
                self._bind(dict(enumerate(value)), put)
        else:
            self._memories.append(Memory(lambda: list(value), lambda former: _refill(value, former), cheap=cheap))
            self._wait(*value)
        if is_users(type(value)):
            self._visit_object(value)

    def _visit_function(self, function: types.FunctionType) -> None:
        users = is_users(function)
        for cell in function.__closure__ or ():
            if _is_filled(cell):
                fill = functools.partial(_fill, cell)
                self._memories += [_Bindings(functools.partial(_contents, cell), fill)] if users else []
                self._bind(_contents(cell), functools.partial(setattr, cell))
        if not users:
            return
        self._wait(*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        names = _names_used(function.__code__)
        self._visit_names(function.__globals__, names)
        for name in names & function.__globals__.keys():
            module = function.__globals__[name]
            if isinstance(module, types.ModuleType) and is_users(module):
                self._visit_names(vars(module), names)

    def _visit_names(self, namespace: dict[str, Any], names: Iterable[str]) -> None:
        """Follows the given names of a module or an object, and keeps what they are bound to."""
        known = [name for name in names if name in namespace]

        def put(former: dict[str, Any]) -> None:
            namespace.update(former)

        self._memories.append(_Bindings(lambda: {name: namespace[name] for name in known if name in namespace}, put))
        self._bind({name: namespace[name] for name in known}, namespace.__setitem__)

    def _visit_object(self, value: Any) -> None:
        if isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer)):
            self._variables += value.variables
        # Keras has datasets of its own that keep a state, such as the iterators of `ImageDataGenerator`.
        if not (is_users(type(value)) or isinstance(value, (keras.utils.PyDataset, *HOLDERS))):
            module = type(value).__module__.partition(".")[0]
            self._wait(*(getattr(value, name, None) for name in _WRAPPED.get(module, ())))
            return
        attributes = getattr(value, "__dict__", None)
        if attributes is not None:
            self._memories.append(_Bindings(lambda: dict(attributes), lambda former: _refill(attributes, former)))
            self._bind(attributes, attributes.__setitem__)
        self._visit_slots(value)
        self._visit_classes(type(value))

    def _visit_slots(self, value: Any) -> None:
        """Follows the attributes of an object whose class reserves them by `__slots__`."""
        slots = slots_of(type(value))
        if not slots:
            return

        def get() -> dict[str, Any]:
            return {name: slot.__get__(value) for name, slot in slots.items() if _is_assigned(slot, value)}

        def put(former: dict[str, Any]) -> None:
            for name in get().keys() - former.keys():
                slots[name].__delete__(value)
            for name, one in former.items():
                slots[name].__set__(value, one)

        self._memories.append(_Bindings(get, put))
        self._bind(get(), lambda name, one: slots[name].__set__(value, one))

    def _visit_layer(self, layer: Any) -> None:
        """Follows what the user keeps in a layer beside what Keras keeps there."""
        if not (is_users(type(layer)) or isinstance(layer, keras.Model)):
            return
        library = next(base for base in type(layer).__mro__ if not is_users(base))
        self._visit_names(vars(layer), vars(layer).keys() - attributes_of_keras(library))
        self._visit_classes(type(layer))

    def _visit_classes(self, kind: type) -> None:
        for owner in kind.__mro__:
            if id(owner) not in self._seen and is_users(owner):
                self._seen[id(owner)] = owner
                self._visit_class(owner)

    def _visit_class(self, owner: type) -> None:
        functions = [getattr(one, "__func__", getattr(one, "fget", one)) for one in vars(owner).values()]
        self._wait(*(one for one in functions if isinstance(one, types.FunctionType)))

        def values() -> dict[str, Any]:
            return {
                name: value
                for name, value in vars(owner).items()
                if not name.startswith("__") and not callable(value) and not hasattr(value, "__get__")
            }

        def put(former: dict[str, Any]) -> None:
            for name in values().keys() - former.keys():
                delattr(owner, name)
            for name, value in former.items():
                setattr(owner, name, value)

        self._memories.append(_Bindings(values, put))
        self._bind(values(), functools.partial(setattr, owner))


def objects_of_keras_in(roots: Iterable[Any]) -> list[Any]:
    """The variables, layers, metrics and optimizers that objects and functions of the user's refer to."""
    return [one for one in ReaderState(roots, records=False).seen() if isinstance(one, _OF_KERAS)]


def changeable_objects_in(roots: Iterable[Any]) -> list[Any]:
    """The containers, arrays and objects of the user's that objects and functions refer to, callbacks apart."""
    return [
        one
        for one in ReaderState(roots, records=False).seen()
        if not isinstance(one, (keras.callbacks.Callback, type, types.FunctionType, *_OF_KERAS))
        and (isinstance(one, (np.ndarray, *_CONTAINERS)) or is_users(type(one)))
    ]


def variables_of(objects: Iterable[Any]) -> list[Any]:
    """The variables of what `objects_of_keras_in` returns."""
    return [variable for one in objects for variable in getattr(one, "variables", [one])]


class ReaderStart:
    """The state from which the code that reads data starts, to return to before each run.

    Args:
        roots: The user's own objects and functions.
        variables: What else has to start from its present value.
    """

    def __init__(self, roots: Iterable[Any] = (), variables: Iterable[Any] = ()) -> None:
        self._roots = tuple(roots)
        self._state = ReaderState(self._roots)
        self._variables = VariableSnapshot(variables)

    def rewind(self) -> None:
        """Puts everything back, to be read again from there."""
        self._state.restore()
        self._state = ReaderState(self._roots)
        self._variables.restore()

    def has_moved(self) -> bool:
        """Whether the code has changed what it keeps, or one of the variables."""
        return self._state.has_changed() or self._variables.has_changed()


def _ignore(value: Any) -> None:
    """Stands for a place that cannot be rebound."""


def is_users(thing: Any) -> bool:
    """Whether a class, function or module was written by the user: it belongs to none of the known libraries."""
    name = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
    return str(name).partition(".")[0] not in _LIBRARIES


def _is_plain_iterator(value: Any) -> bool:
    if isinstance(value, (np.ndarray, keras.utils.PyDataset)) or not isinstance(value, Iterator):
        return False
    if isinstance(value, io.IOBase):
        return _is_within_a_loop(value)
    return isinstance(value, (ReplayedIterator, types.GeneratorType)) or not is_users(type(value))


def _is_within_a_loop(file: Any) -> bool:
    """Whether lines are being read by `next`, which hides the position of a text file."""
    if file.closed or not isinstance(file, io.TextIOWrapper) or not file.readable():
        return False
    try:
        file.tell()
    except OSError:
        return file.seekable()
    return False


def _random_memory(value: Any) -> Memory | None:
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return Memory(value.getstate, value.setstate)
    if isinstance(value, np.random.RandomState):
        return Memory(functools.partial(value.get_state, legacy=False), value.set_state)
    if isinstance(value, np.random.BitGenerator):
        return Memory(lambda: value.state, functools.partial(setattr, value, "state"))
    return None


def _file_memory(value: Any) -> Memory | None:
    """The position of a file that can be read; what one in memory holds, too."""
    if not all(hasattr(type(value), name) for name in ("tell", "seek", "read")) or getattr(value, "closed", False):
        return None
    try:
        if isinstance(value, io.IOBase) and not (value.readable() and value.seekable()):
            return None
        value.tell()
    except (OSError, ValueError, tf.errors.OpError):
        return None
    if isinstance(value, (io.BytesIO, io.StringIO)) and len(value.getvalue()) <= _MAX_COPIED_BYTES:
        return Memory(lambda: (value.getvalue(), value.tell()), functools.partial(_rewrite, value), cheap=False)

    def position() -> Any:
        try:
            return value.tell()
        except (OSError, ValueError):
            return _LOST

    def seek(former: Any) -> None:
        if not getattr(value, "closed", False):
            value.seek(former)

    return Memory(position, seek)


def _rewrite(file: Any, former: tuple[Any, int]) -> None:
    """Puts back what a file in memory held and where it stood."""
    contents, position = former
    if file.getvalue() != contents:
        file.seek(0)
        file.truncate()
        file.write(contents)
    file.seek(position)


def slots_of(kind: type) -> dict[str, Any]:
    """The descriptors of the attributes that a class and its bases reserve by `__slots__`, by name."""
    return {
        name: member
        for owner in reversed(kind.__mro__)
        if is_users(owner) and "__slots__" in vars(owner)
        for name, member in vars(owner).items()
        if isinstance(member, types.MemberDescriptorType)
    }


def _is_assigned(slot: Any, value: Any) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


def _is_known(kind: type) -> bool:
    """Whether this is a container of Python, one of a user, or one that Keras has put in the place of such."""
    return kind.__module__.partition(".")[0] in ("array", "builtins", "collections", "keras") or is_users(kind)


def _plain_kind(kind: type) -> Any:
    """The type of Python whose methods change a container without calling those that a subclass overrides."""
    return next(one for one in kind.__mro__ if one.__module__ in ("array", "builtins", "collections"))


def _refill(container: Any, former: Any) -> None:
    kind = _plain_kind(type(container))
    kind.clear(container)
    (kind.extend if kind is collections.deque else kind.update)(container, former)


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not _LOST
    except ValueError:
        return False


def _contents(cell: types.CellType) -> dict[str, Any]:
    return {"cell_contents": cell.cell_contents}


def _fill(cell: types.CellType, contents: dict[str, Any]) -> None:
    cell.cell_contents = contents["cell_contents"]


def _names_used(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names_used, inner))


def _is_plain(value: Any) -> bool:
    """Whether this is a number, text, None or a list of such."""
    if isinstance(value, (list, tuple)):
        return len(value) <= _MAX_FOLLOWED and all(map(_is_plain, value))
    return value is None or value is _LOST or isinstance(value, (bool, int, float, complex, str, bytes, np.generic))


def _is_made(value: Any) -> bool:
    """Whether this is an object, rather than a plain value or a tensor of the trace."""
    if isinstance(value, dict):
        return any(map(_is_made, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_made, value))
    tensors = (tf.Tensor, tf.TensorShape, keras.KerasTensor, np.ndarray)
    return not (_is_plain(value) or isinstance(value, tensors))


def _named(data: Any) -> str:
    return "an array" if isinstance(data, np.ndarray) else with_article(type(data).__name__)


def _sample(data: Any) -> Any:
    """Some elements of an array, or some rows of a frame."""
    if isinstance(data, (pd.DataFrame, pd.Series)):
        return data.iloc[np.linspace(0, max(len(data) - 1, 0), min(_SAMPLED, len(data))).astype(np.int64)].copy()
    places = np.linspace(0, data.size - 1, _SAMPLED).astype(np.int64)
    return data[np.unravel_index(places, data.shape)]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (pd.DataFrame, pd.Series)):
        return bool(one.equals(other))
    if isinstance(one, np.ndarray) and one.dtype != object:
        return bool(one.tobytes() == other.tobytes())
    if isinstance(one, (list, np.ndarray)):
        return len(one) == len(other) and all(map(_is, one, other))
    if isinstance(one, dict):
        return pickle.dumps(one) == pickle.dumps(other)
    return bool(one == other)


def _is(one: Any, other: Any) -> bool:
    """Whether both are one object, or one replays the other from its beginning."""
    pairs = ((one, other), (other, one))
    return one is other or any(isinstance(a, ReplayedIterator) and a.stands_for(b) for a, b in pairs)


def _draws_statefully(function: Any) -> bool:
    if not function.experimental_get_tracing_count():
        return False
    graphs = [concrete.graph for concrete in function._list_all_concrete_functions()]
    return any(
        operation.op_def.is_stateful and operation.type.startswith(_RANDOM_OPERATIONS)
        for graph in graphs
        for operation in graph.get_operations()
    )
