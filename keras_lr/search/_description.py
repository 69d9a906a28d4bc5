"""Plain descriptions of objects and of the code of functions, the same in every process, so that two can be compared.

A description consists of None, bools, finite numbers, strings, lists and dicts. Not in it are the values of variables,
what functions of other modules do, and the objects of the standard library, of which only the class is named.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import json
import math
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from keras_lr._keras.callback_state import is_observer
from keras_lr._keras.model import attributes_of_keras, layers_of
from keras_lr._keras.reader_state import HOLDERS, is_users, slots_of

CODE = f"code {sys.implementation.cache_tag}"
"""Key of the hash of compiled code. Each version of Python compiles to other code, so that another one is unknown."""

MAX_HASHED_BYTES = 256 << 20
"""Larger arrays are hashed in part; hashing this much takes a third of a second."""

_BLOCK_BYTES = 1 << 20
_CHANGE_CONTAINERS = frozenset(
    name for kind in (list, dict, set, deque) for name in vars(kind) if not name.startswith("_")
) - {"copy", "count", "difference", "fromkeys", "get", "index", "intersection", "items", "keys", "union", "values"}
"""Methods that change a list, dict, set or deque."""

_MAX_DEPTH = 8
_MAX_PARTS = 5_000
_MAX_TEXT = 500
_MAX_ITEMS = 100
NAMES_IN_CONFIG = ("name", "build_config", "module", "registered_name")


def describe(value: Any) -> Any:
    """A description of any object: its class, its attributes, and the code that the user has written for it."""
    return _Describer().of(value)


def describe_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """Descriptions of callbacks, without those that only observe the training.

    Their paths and addresses often differ from one process to the next.
    """
    return [describe(callback) for callback in callbacks if not is_observer(callback)]


def describe_class(kind: type) -> dict[str, Any]:
    """The code of the methods that a user's class and its bases define, and their plain class attributes."""
    return _Describer().of_class(kind)


def describe_settings(value: Any) -> dict[str, Any]:
    """Attributes of an object that are named as the arguments of its constructor, with or without an underscore.

    An attribute that another method of its class assigns is not a setting.
    """
    assigned = {
        str(one.argval)
        for kind in type(value).__mro__
        if is_users(kind)
        for name, method in vars(kind).items()
        if isinstance(method, types.FunctionType) and name != "__init__"
        for one in _instructions(method.__code__)
        if one.opname == "STORE_ATTR"
    }
    return {name: describe(found) for name, found in _settings(value).items() if not {name, f"_{name}"} & assigned}


def hash_array(array: Any) -> str:
    """A hash of all bytes of an array; of a larger one, of evenly spaced blocks of `MAX_HASHED_BYTES` in all."""
    values = np.asarray(array)
    if values.dtype == object:
        return _hash("\0".join(map(str, values.ravel().tolist())).encode())
    if values.nbytes == 0:
        return _hash(b"")
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    hashed = hashlib.blake2b(digest_size=8)
    count = min(MAX_HASHED_BYTES // _BLOCK_BYTES, -(-flat.size // _BLOCK_BYTES))
    last = max(flat.size - _BLOCK_BYTES, 0)
    for number in range(count):
        start = last * number // max(count - 1, 1) if flat.size > MAX_HASHED_BYTES else number * _BLOCK_BYTES
        hashed.update(flat[start : start + _BLOCK_BYTES].data)
    return hashed.hexdigest()


def first_difference(first: Any, second: Any, path: str = "", *, shared_only: bool = False) -> str | None:
    """The path at which two descriptions first differ; None if they are equal.

    Args:
        first: A description.
        second: Another one.
        path: Where the two were found.
        shared_only: Whether names that one of them lacks are skipped. Code that was compiled by another version of
            Python is always skipped.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = [*first, *(name for name in second if name not in first)]
        shared = [name for name in names if name in first and name in second]
        kept = shared if shared_only else [name for name in names if name in shared or not name.startswith("code ")]
        parts = [(name, first.get(name), second.get(name)) for name in kept]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        parts = [(str(number), *pair) for number, pair in enumerate(zip(first, second, strict=True))]
    else:
        return None if first == second else path
    inner = (
        first_difference(one, other, f"{path}.{name}" if path else name, shared_only=shared_only)
        for name, one, other in parts
    )
    return next((found for found in inner if found is not None), None)


def common_part(first: Any, second: Any) -> Any:
    """What two descriptions share; a part in which they differ is left out."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        both = [name for name in first if name in second]
        parts = {name: common_part(first[name], second[name]) for name in both}
        return {name: part for name, part in parts.items() if part is not NotImplemented}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        parts_in_order = [common_part(*pair) for pair in zip(first, second, strict=True)]
        return [None if part is NotImplemented else part for part in parts_in_order]
    return first if first == second else NotImplemented


def digest(description: Mapping[str, Any]) -> str:
    """A hash of a description in 16 hexadecimal digits, the same in every process."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Describer:
    """Describes one object with its parts; a part within itself, or deep inside, is described by its class alone."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._parts = 0

    def of(self, value: Any) -> Any:
        """The description of `value`."""
        plain = _scalar(value)
        if plain is not NotImplemented:
            return plain
        self._parts += 1
        if id(value) in self._open or len(self._open) >= _MAX_DEPTH or self._parts > _MAX_PARTS:
            return {"class": type(value).__name__}
        self._open.add(id(value))
        try:
            return self._of_compound(value)
        finally:
            self._open.discard(id(value))

    def of_class(self, kind: type) -> dict[str, Any]:
        """The description of a user's class; its name alone for a class of a library."""
        described: dict[str, Any] = {"class": kind.__name__}
        for base in kind.__mro__:
            if is_users(base):
                described.update({name: found for name, found in self._members(base) if name not in described})
        return described

    def _members(self, kind: type) -> Iterator[tuple[str, Any]]:
        for name, member in vars(kind).items():
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            function = getattr(inner, "python_function", inner)
            if isinstance(function, types.FunctionType):
                yield name, self.of(function)
            elif not (name.startswith("__") and name.endswith("__")) and not isinstance(member, (list, dict, set)):
                plain = _scalar(member)
                if plain is not NotImplemented:
                    yield name, plain

    def _of_compound(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _shortened({str(name): self.of(part) for name, part in value.items()})
        if isinstance(value, (list, tuple)):
            return _shortened([self.of(part) for part in value])
        if isinstance(value, (set, frozenset)):
            return sorted((self.of(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
        if isinstance(value, (np.ndarray, tf.Tensor, pd.Series, pd.DataFrame, pd.Index)):
            return _of_array(value)
        if isinstance(value, (keras.Variable, tf.Variable)):
            return {"shape": list(value.shape), "dtype": str(value.dtype)}
        if isinstance(value, functools.partial):
            return {"function": self.of(value.func), "given": self.of([value.args, value.keywords])}
        function = getattr(value, "python_function", getattr(value, "__func__", value))
        if isinstance(function, types.FunctionType):
            return self._of_function(function)
        if isinstance(value, type):
            return {"class": value.__name__}
        return self._of_object(value)

    def _of_object(self, value: Any) -> dict[str, Any]:
        kind = type(value)
        described = self.of_class(kind)
        if isinstance(value, keras.Layer):
            hashes = [hash_array(weight) for weight in value.weights]
            described["weights"] = _hash(json.dumps(hashes).encode())
        if not isinstance(value, keras.Model) and any(_is_of(base, "keras") for base in kind.__mro__):
            described.update(self._config(value))
        if isinstance(value, keras.callbacks.Callback) and not is_users(kind):
            found = _settings(value)
        elif is_users(kind):
            found = users_attributes(value)
        else:
            library = _is_of(kind, "keras", "tensorflow", *sys.stdlib_module_names) and not isinstance(value, HOLDERS)
            found = {} if library or described.keys() - {"class"} else attributes(value)
        return {**described, **{name: self.of(part) for name, part in found.items()}}

    def _config(self, value: Any) -> dict[str, Any]:
        try:
            config = dict(value.get_config())
        except Exception:
            return {}
        functions = {name: part for name, part in attributes(value).items() if isinstance(part, types.FunctionType)}
        return {name: self.of(_without_names(part)) for name, part in {**config, **functions}.items() if name != "name"}

    def _of_function(self, function: types.FunctionType) -> dict[str, Any]:
        described: dict[str, Any] = {"function": function.__name__}
        if not is_users(function):
            return described
        code = function.__code__
        documented = function.__doc__ is not None and code.co_consts[:1] == (function.__doc__,)
        described[CODE] = _hash(json.dumps(_of_code(code, skip_first=documented)).encode())
        if function.__defaults__ or function.__kwdefaults__:
            described["defaults"] = self.of([function.__defaults__, function.__kwdefaults__])
        used = self._used_values(function)
        if used:
            described["uses"] = used
        return described

    def _used_values(self, function: types.FunctionType) -> dict[str, Any]:
        """What a function finds in its closure and in its module, except for what it changes itself."""
        code = function.__code__
        changed = _assigned_names(code)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        closure = {name: _content(cell) for name, cell in cells if name != "__class__"}
        loaded = {name: function.__globals__[name] for name in _loaded_globals(code) if name in function.__globals__}
        module = function.__module__
        of_module = {name: part for name, part in loaded.items() if _is_setting(part, module)}
        found = {name: part for name, part in {**of_module, **closure}.items() if name not in changed}
        if _changes_containers(code):
            found = {name: part for name, part in found.items() if not isinstance(part, (list, dict, set))}
        return {name: self.of(part) for name, part in sorted(found.items())}


def attributes(value: Any) -> dict[str, Any]:
    """The attributes that an object holds itself, in a `__dict__` or in `__slots__`."""
    slots = {name: getattr(value, name) for name in slots_of(type(value)) if hasattr(value, name)}
    return {**slots, **getattr(value, "__dict__", {})}


def users_attributes(value: Any) -> dict[str, Any]:
    """The attributes of an object of a user's class, without those that the class of the library below it keeps.

    The arguments of that class stay: `patience` is a setting of a subclass of `EarlyStopping`, `wait` its state. The
    places in memory of a model's layers, which models of KerasHub hold, are others in each build.
    """
    library = next(base for base in type(value).__mro__ if not is_users(base))
    kept = frozenset() if library is object else attributes_of_keras(library)
    settings = {name for argument in _argument_names(library) for name in (argument, f"_{argument}")} - {"name"}
    own = {name: part for name, part in attributes(value).items() if name in settings or name not in kept}
    places = {id(layer) for layer in layers_of(value)} if isinstance(value, keras.Model) else set()
    return {name: part for name, part in own.items() if not (isinstance(part, set) and part and part <= places)}


def _settings(value: Any) -> dict[str, Any]:
    names = _argument_names(type(value))
    return {name: getattr(value, name, getattr(value, f"_{name}", None)) for name in names}


def _of_array(value: Any) -> dict[str, Any]:
    try:
        array = np.asarray(value)
    except (NotImplementedError, TypeError, ValueError):
        return {"class": type(value).__name__}
    return {"shape": list(array.shape), "dtype": str(array.dtype), "hash": hash_array(array)}


def _shortened(described: Any) -> Any:
    """A list or dict; of a long one, its hash."""
    if len(described) <= _MAX_ITEMS:
        return described
    return {"length": len(described), "hash": _hash(json.dumps(described, sort_keys=True).encode())}


def _scalar(value: Any) -> Any:
    """A value that needs no description; `NotImplemented` for any other."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(value)
    if isinstance(value, str):
        return str(value) if len(value) <= _MAX_TEXT else f"{value[:40]}... {_hash(value.encode())}"
    if isinstance(value, (bytes, bytearray)):
        return _hash(bytes(value))
    if isinstance(value, complex):
        return repr(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, tf.DType):
        return value.name
    if isinstance(value, types.ModuleType):
        return value.__name__
    return NotImplemented


def _without_names(part: Any) -> Any:
    """A serialized object of Keras without its name and its module, which change without any effect."""
    if isinstance(part, Mapping) and "class_name" in part and "config" in part:
        config = part["config"]
        inner = {k: v for k, v in config.items() if k not in NAMES_IN_CONFIG} if isinstance(config, Mapping) else config
        return {"class_name": part["class_name"], "config": _without_names(inner)}
    if isinstance(part, Mapping):
        return {name: _without_names(inner) for name, inner in part.items()}
    return [_without_names(inner) for inner in part] if isinstance(part, (list, tuple)) else part


def _argument_names(kind: type) -> list[str]:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def _is_of(kind: type, *packages: str) -> bool:
    return str(kind.__module__).split(".")[0] in packages


def _is_setting(value: Any, module: str | None) -> bool:
    """Whether a name of a module holds a plain value, an array, or a function of the same module."""
    if isinstance(value, types.FunctionType):
        return value.__module__ == module
    return isinstance(value, (bool, int, float, str, list, tuple, dict, np.ndarray))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _of_code(code: types.CodeType, *, skip_first: bool = False) -> list[Any]:
    constants = code.co_consts[1:] if skip_first else code.co_consts
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [_hash(code.co_code), [_constant(one) for one in constants], code.co_names, arguments, code.co_freevars]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _of_code(value)
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return [_constant(part) for part in value] if isinstance(value, tuple) else repr(value)


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """The instructions of a function and of those that are defined in it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)


def _loaded_globals(code: types.CodeType) -> set[str]:
    return {str(one.argval) for one in _instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}


def _assigned_names(code: types.CodeType) -> set[str]:
    return {str(one.argval) for one in _instructions(code) if one.opname in ("STORE_GLOBAL", "STORE_DEREF")}


def _changes_containers(code: types.CodeType) -> bool:
    return any(
        one.opname in ("STORE_SUBSCR", "DELETE_SUBSCR")
        or (one.opname in ("LOAD_METHOD", "LOAD_ATTR") and one.argval in _CHANGE_CONTAINERS)
        for one in _instructions(code)
    )


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
