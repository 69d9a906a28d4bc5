"""A share of a search: some of its runs, trained in a process that receives all it needs by value. Imports no Dask."""

from __future__ import annotations

import linecache
import pickle
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_lr
from keras_lr._keras.snapshot import ops_are_deterministic
from keras_lr.errors import KerasLRError, SearchError
from keras_lr.search._engines.base import EngineName
from keras_lr.search._recorder import Recorded, Recorder
from keras_lr.search._runs import Point, Run
from keras_lr.search._session import Trainer
from keras_lr.search._storage import Table

_MAX_OPEN_SEARCHES = 2


class UnknownSearchError(KerasLRError, LookupError):
    """This process has not received the search, or has forgotten it."""


class ShareCancelledError(KerasLRError, RuntimeError):
    """Nobody waits for the share any longer."""


@dataclass(frozen=True)
class Share:
    """Runs for one worker, and what it must know of the others.

    Attributes:
        runs: The runs, none of which is complete.
        known: Their rows so far; with pruning, those of all runs.
        best: The best objective of each point so far, to be minimized; only better weights are returned.
        planned: Number of runs of the whole search.
        engine: The engine that the search uses, the reason and the environment.
    """

    runs: Sequence[Run]
    known: Sequence[Mapping[str, Any]]
    best: Mapping[Point, float]
    planned: int
    engine: tuple[EngineName, str, dict[str, Any] | None]


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


@dataclass(frozen=True)
class PackedSearch:
    """A search as bytes.

    Attributes:
        code: A pickled function that returns a `Trainer`, and the custom objects of Keras, without their arrays.
        buffers: The arrays.
        sources: The source of each of the user's files, by name, without which AutoGraph cannot convert its functions.
        settings: The settings to train with.
        versions: The versions that a worker must have.
    """

    code: bytes
    buffers: Sequence[Any]
    sources: Mapping[str, str]
    settings: Settings
    versions: Mapping[str, str]


def versions() -> dict[str, str]:
    """What must be the same wherever a search trains."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "keras_lr": keras_lr.__version__,
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
    }


def receive(search_id: str, packed: PackedSearch) -> str:
    """Keeps a search until its first share; returns what differs from the versions that it needs, empty if nothing."""
    own = versions()
    other = [
        f"{name} {own[name]} instead of {wanted}" for name, wanted in packed.versions.items() if own[name] != wanted
    ]
    if not other:
        _keep(_received, search_id, packed)
    return ", ".join(other)


def train_share(search_id: str, share: Share, is_cancelled: Callable[[], bool] = lambda: False) -> Recorded:
    """Trains a share of a search that was received before.

    Args:
        search_id: Name of the search.
        share: The runs.
        is_cancelled: Asked after each epoch; the share ends if it returns True.

    Raises:
        UnknownSearchError: The search must be sent again.
        SearchError: The search cannot be opened in this process.
        ShareCancelledError: `is_cancelled` has returned True.
    """
    with _lock:
        opened = time.perf_counter()
        worker = _worker_for(search_id)
        start = time.perf_counter()
        try:
            worker.train(share, is_cancelled)
        except BaseException:
            _workers.pop(search_id, None)
            raise
        return worker.result(seconds=time.perf_counter() - start, opening_seconds=start - opened)


class _ShareRecorder(Recorder):
    """A recorder whose lines, weights and failures go to another process."""

    def begin(self, share: Share) -> None:
        """Forgets what was recorded before."""
        self.table = Table(share.known)
        self.failures: list[tuple[Run, str, str]] = []
        self._best = dict(share.best)
        self._best_weights = {}

    def fail(self, run: Run, error: Exception) -> None:
        """Keeps what the error says, since not every error can be sent."""
        self.failures.append((run, type(error).__name__, str(error)))
        self.table.add({**self._row(run, len(self.table.rows(run)), {}), "status": "failed"})
        self._forget(run)


class _Worker:
    """A search that is open in this process; it is a journal that keeps its lines in memory."""

    def __init__(self, packed: PackedSearch) -> None:
        for name, text in packed.sources.items():
            linecache.cache.setdefault(name, (len(text), None, text.splitlines(keepends=True), name))
        self._settings = packed.settings
        self._settings.apply()
        search, custom_objects = pickle.loads(packed.code, buffers=packed.buffers)
        keras.saving.get_custom_objects().update(custom_objects)
        self._trainer: Trainer = search()
        self._recorder = self._trainer.recorder(
            Table(), self, kind=_ShareRecorder, save_best=self._save_best, on_epoch=self._after_epoch
        )
        self._lines: list[Mapping[str, Any]] = []
        self._weights: dict[Point, tuple[float, Sequence[np.ndarray]]] = {}
        self._is_cancelled: Callable[[], bool] = lambda: False

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Keeps the lines."""
        self._lines.extend(lines)

    def train(self, share: Share, is_cancelled: Callable[[], bool]) -> None:
        """Trains the runs of a share."""
        self._lines, self._weights, self._is_cancelled = [], {}, is_cancelled
        self._settings.apply()
        self._recorder.begin(share)
        self._trainer.train(share.runs, self._recorder, planned=share.planned, recorded=share.engine)

    def result(self, *, seconds: float, opening_seconds: float) -> Recorded:
        """What the share has come to."""
        values, failures = self._trainer.values(), self._recorder.failures
        return Recorded(self._lines, self._weights, failures, values, seconds, opening_seconds)

    def _save_best(self, point: Point, values: Sequence[np.ndarray]) -> None:
        self._weights[point] = (self._recorder.best(point), values)

    def _after_epoch(self, runs: Iterable[Run], epoch: int) -> None:
        if self._is_cancelled():
            raise ShareCancelledError("The share was cancelled.")


_received: dict[str, PackedSearch] = {}
_workers: dict[str, _Worker] = {}
_lock = threading.Lock()
"""Keras and TensorFlow keep global state, so one share at a time is trained, however many threads there are."""


def _worker_for(search_id: str) -> _Worker:
    if search_id not in _workers:
        packed = _received.pop(search_id, None)
        if packed is None:
            raise UnknownSearchError("The search must be sent again.")
        try:
            _keep(_workers, search_id, _Worker(packed))
        except KerasLRError:
            raise
        except Exception as error:
            raise SearchError(
                f"A worker cannot open the search: {type(error).__name__}: {error}. A worker has the code and the data "
                f"of the search, but no file of yours and no package beside those that are installed there."
            ) from error
    return _workers[search_id]


def _keep(kept: dict[str, Any], search_id: str, value: Any) -> None:
    kept[search_id] = value
    while len(kept) > _MAX_OPEN_SEARCHES:
        kept.pop(next(iter(kept)))
