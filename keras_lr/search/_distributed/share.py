"""A share of a search: some of its runs, trained in a process that receives all it needs by value. Imports no Dask."""

from __future__ import annotations

import contextlib
import linecache
import math
import pickle
import platform
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import keras_lr
from keras_lr._keras.snapshot import ops_are_deterministic
from keras_lr.errors import KerasLRError, SearchError
from keras_lr.results._search_records import Point, Run, Table
from keras_lr.search._fit_arguments import ALIGNMENT
from keras_lr.search._recorder import Recorded, Recorder, Share
from keras_lr.search._session import Trainer

_MAX_SEARCHES = 2


@dataclass(frozen=True)
class Settings:
    """Global settings of Keras and TensorFlow that change numbers."""

    policy: Any = field(default_factory=keras.config.dtype_policy)
    floatx: str = field(default_factory=keras.config.floatx)
    image_data_format: str = field(default_factory=keras.config.image_data_format)
    deterministic: bool = field(default_factory=ops_are_deterministic)

    def apply(self) -> None:
        """Makes them those of this thread."""
        keras.config.set_floatx(self.floatx)
        keras.config.set_image_data_format(self.image_data_format)
        keras.config.set_dtype_policy(self.policy)
        if self.deterministic and not ops_are_deterministic():
            tf.config.experimental.enable_op_determinism()


def versions() -> dict[str, str]:
    """What must be the same wherever a search trains."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "keras_lr": keras_lr.__version__,
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
    }


@dataclass(frozen=True)
class PackedSearch:
    """A search as bytes, without its large arrays, which follow in pieces.

    Attributes:
        code: A pickled function that returns a `Trainer`, and the custom objects of Keras.
        arrays: Offset and size in bytes of each large array.
        sources: The source of each of the user's files, by name, without which AutoGraph cannot convert its functions.
        settings: The settings to train with.
        versions: The versions that a worker must have.
    """

    code: bytes
    arrays: Sequence[tuple[int, int]]
    sources: Mapping[str, str]
    settings: Settings
    versions: Mapping[str, str]


class Piece(NamedTuple):
    """Consecutive bytes of the large arrays."""

    offset: int
    data: bytes


def answer(
    search_id: str, message: PackedSearch | Piece | Share, is_cancelled: Callable[[], bool] = lambda: False
) -> Recorded | str | None:
    """What this process answers to one part of a search after the other: itself, its arrays in pieces, and shares.

    A share ends after the epoch with which `is_cancelled` returns True.

    Returns:
        What the share has come to. For the search, what differs from the versions that it needs; empty if nothing does.
        None if the search must be sent again.
    """
    # Keras and TensorFlow keep global state, so one share at a time is trained, however many threads there are.
    with _lock:
        if isinstance(message, PackedSearch):
            own = versions()
            wanted = message.versions.items()
            differing = [f"{name} {own[name]} instead of {version}" for name, version in wanted if own[name] != version]
            if not differing:
                _searches[search_id] = _Search(message)
                while len(_searches) > _MAX_SEARCHES:
                    del _searches[next(iter(_searches))]
            return ", ".join(differing)
        search = _searches.get(search_id)
        if search is None:
            return None
        if isinstance(message, Piece):
            return search.receive(message)
        del _searches[search_id]
        with random_per_thread(), contextlib.suppress(_ShareCancelledError):
            recorded = search.train(message, is_cancelled)
            _searches[search_id] = search
            return recorded
        return None


@contextlib.contextmanager
def random_per_thread() -> Iterator[None]:
    """Gives each thread its own state of `random`, from which Keras draws the seeds of its initializers.

    Dask's threads draw from it too, so that a run would begin with other weights now and then.
    """
    own = _ThreadsRandom()
    shared = {name: value for name, value in vars(random).items() if isinstance(_owner(value), random.Random)}

    def isolated(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: getattr(own.random, name)(*args, **kwargs)

    vars(random).update({name: isolated(name) for name in shared})
    try:
        yield
    finally:
        vars(random).update(shared)


class _ThreadsRandom(threading.local):
    def __init__(self) -> None:
        self.random = random.Random()


def _owner(function: Any) -> Any:
    return getattr(function, "__self__", None)


class _ShareCancelledError(KerasLRError, RuntimeError):
    """Nobody waits for the share any longer."""


class _ShareRecorder(Recorder):
    """A recorder whose lines, weights and failures go to another process; it is its own journal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Table(), self, save_best=self._keep_weights, on_epoch=self._end_if_cancelled, **options)

    def begin(self, share: Share, is_cancelled: Callable[[], bool]) -> None:
        """Forgets what was recorded before."""
        self.table = Table(share.known)
        self.lines: list[dict[str, Any]] = []
        self.weights: dict[Point, tuple[float, Sequence[np.ndarray]]] = {}
        self.failures: list[tuple[Run, str, str]] = []
        self._best, self._best_weights, self._reach = dict(share.best), {}, dict(share.reach)
        self._is_cancelled = is_cancelled

    def append(self, lines: Iterable[dict[str, Any]]) -> None:
        """Keeps lines of the journal."""
        self.lines.extend(lines)

    def fail(self, run: Run, error: Exception) -> None:
        """Keeps what the error says, since not every error can be sent."""
        self.failures.append((run, type(error).__name__, str(error)))
        self.table.add(self._failed_row(run, str(error)))
        self._forget(run)

    def _keep_weights(self, point: Point, values: Sequence[np.ndarray]) -> None:
        self.weights[point] = (self._best.get(point, math.inf), values)

    def _end_if_cancelled(self) -> None:
        if self._is_cancelled():
            raise _ShareCancelledError("The share was cancelled.")


class _Search:
    """A search that was sent to this process."""

    def __init__(self, packed: PackedSearch) -> None:
        self._packed: PackedSearch | None = packed
        self._settings = packed.settings
        size = max((offset + length for offset, length in packed.arrays), default=0)
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        self._memory = memory[start : start + size]
        self._trainer: Trainer

    def receive(self, piece: Piece) -> str:
        """Keeps a piece of the arrays."""
        self._memory[piece.offset : piece.offset + len(piece.data)] = np.frombuffer(piece.data, np.uint8)
        return ""

    def train(self, share: Share, is_cancelled: Callable[[], bool]) -> Recorded:
        """Trains a share."""
        began = time.perf_counter()
        self._settings.apply()
        if self._packed is not None:
            self._open(self._packed)
        opened = time.perf_counter()
        trainer = self._trainer
        recorder = trainer.recorder(_ShareRecorder)
        recorder.begin(share, is_cancelled)
        trainer.train(share.runs, recorder, planned=share.planned, recorded=share.engine, checkpoints=share.paused)
        return Recorded(
            recorder.lines,
            recorder.weights,
            recorder.failures,
            trainer.hypermodel.given_values,
            trainer.checkpoints(share.runs),
            seconds=time.perf_counter() - opened,
            opening_seconds=opened - began,
        )

    def _open(self, packed: PackedSearch) -> None:
        for name, text in packed.sources.items():
            linecache.cache.setdefault(name, (len(text), None, text.splitlines(keepends=True), name))
        try:
            arrays = [self._memory[offset : offset + length] for offset, length in packed.arrays]
            search, custom_objects = pickle.loads(packed.code, buffers=arrays)
            keras.saving.get_custom_objects().update(custom_objects)
            self._trainer = search()
        except KerasLRError:
            raise
        except Exception as error:
            raise SearchError(
                f"A worker cannot open the search: {type(error).__name__}: {error}. A worker has the code and the data "
                f"of the search, but no file of yours and no package beside those that are installed there."
            ) from error
        self._packed, self._memory = None, np.empty(0, np.uint8)


_searches: dict[str, _Search] = {}
_lock = threading.Lock()
