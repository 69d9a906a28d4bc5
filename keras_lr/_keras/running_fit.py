"""What Keras does not tell a callback about the `fit` that is calling it: the data, the errors, the other callbacks."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr._keras.batches import targets_of
from keras_lr._keras.constant_output import baseline_loss_of
from keras_lr._keras.learning_rate import current_learning_rate
from keras_lr.analysis._diagnosis.history import loss_name, optimizer_name
from keras_lr.errors import InvalidArgumentError

_HOOKS = ("on_epoch_begin", "on_epoch_end", "on_test_batch_begin", "on_test_batch_end", "on_test_end")
_LOOP = "catch_stop_iteration"


def epoch_iterator_of_fit(model: keras.Model) -> EpochIterator | None:
    """The epoch iterator of the `model.fit` that is calling; None outside of one."""
    return _names_in_fit(model)[1]


def validation_of_fit(model: keras.Model) -> dict[str, Any] | None:
    """The arguments of `evaluate` for the validation data of the `model.fit` that is calling; None if it has none."""
    names, _ = _names_in_fit(model)
    given = names.get("validation_data")
    if given is None:
        return None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(given)
    return {
        "x": x,
        "y": y,
        "sample_weight": sample_weight,
        "batch_size": names.get("validation_batch_size") or names.get("batch_size"),
        "steps": names.get("validation_steps"),
    }


def params_of_fit(model: keras.Model) -> dict[str, Any]:
    """The parameters that Keras gives the callbacks of the `fit` that is calling, read off it; empty outside of one."""
    names, epochs = _names_in_fit(model)
    steps = None if epochs is None else epochs.num_batches
    found = {"epochs": names.get("epochs"), "steps": steps, "verbose": names.get("verbose")}
    return {name: value for name, value in found.items() if value is not None}


def facts_of_fit(model: keras.Model, params: Mapping[str, Any] | None, *, monitor: str = "loss") -> dict[str, Any]:
    """What is known of the running `fit` beside its losses, as plain JSON values, without what is unknown.

    Args:
        model: The model being trained.
        params: The parameters that Keras has given the callback.
        monitor: Name of the training loss in the logs.

    Returns:
        `optimizer`, `learning_rate`, `batch_size`, `steps_per_epoch`, and of the usual training loss also `loss` and
        `baseline_loss`, the loss of the best constant output, for arrays without sample weights.
    """
    epochs = epoch_iterator_of_fit(model)
    adapter = None if epochs is None else epochs.data_adapter
    steps, size = (params or {}).get("steps"), getattr(adapter, "batch_size", None)
    found = facts_of_training(model, targets=targets_of(adapter), batch_size=size, steps_per_epoch=steps)
    if monitor != "loss":
        found = {name: fact for name, fact in found.items() if name not in ("loss", "baseline_loss")}
    rate = math.nan if model.optimizer is None else float(current_learning_rate(model.optimizer))
    # A warm-up may begin at 0, which is no rate to judge by.
    return {**found, "learning_rate": rate} if 0 < rate < math.inf else found


def weighs_samples(model: keras.Model) -> bool:
    """Whether the `fit` that is calling weighs its samples or classes, so that its losses are not those of `evaluate`.

    Not known of weights that a `PyDataset` or a generator yields.
    """
    names, _ = _names_in_fit(model)
    spec = getattr(names.get("x"), "element_spec", None)
    given = any(names.get(name) is not None for name in ("sample_weight", "class_weight"))
    return given or (isinstance(spec, tuple) and len(spec) == 3)


def without_optimizer(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `facts_of_fit` has found, for a fit in which the compiled optimizer trained nothing."""
    return {name: fact for name, fact in facts.items() if name not in ("optimizer", "learning_rate")}


def facts_of_training(model: keras.Model, *, targets: Any, batch_size: Any, steps_per_epoch: Any) -> dict[str, Any]:
    """What is known of a training beside its losses and its rate; `targets` are None if weighted or unknown."""
    loss = getattr(model, "loss", None)
    found = {
        "optimizer": optimizer_name(model.optimizer),
        "loss": None if loss is None or isinstance(loss, (list, tuple, dict)) else loss_name(loss),
        "batch_size": None if batch_size is None else int(batch_size),
        "steps_per_epoch": int(steps_per_epoch) if steps_per_epoch else None,
        "baseline_loss": None if targets is None else baseline_loss_of(model, targets),
    }
    return {name: value for name, value in found.items() if value is not None}


def callbacks_of_fit() -> keras.callbacks.CallbackList | None:
    """The list through which Keras is calling a callback; None outside of one."""
    callers = (frame.f_locals.get("self") for frame in calling_frames())
    return next((caller for caller in callers if isinstance(caller, keras.callbacks.CallbackList)), None)


def calling_frames() -> Iterator[FrameType]:
    """The frames of all callers, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _names_in_fit(model: keras.Model) -> tuple[Mapping[str, Any], EpochIterator | None]:
    """The local names of the `model.fit` that is calling, and its epoch iterator; empty and None outside of one.

    Keras passes no data to a callback. The frame of `fit` is always among its callers and holds the iterator.
    """
    for frame in calling_frames():
        if frame.f_locals.get("self") is model and (epochs := _epoch_iterator(frame)) is not None:
            return frame.f_locals, epochs
    return {}, None


def _epoch_iterator(frame: FrameType) -> EpochIterator | None:
    return next((value for value in list(frame.f_locals.values()) if isinstance(value, EpochIterator)), None)


def skip_epochs(model: keras.Model, epochs: EpochIterator, *, last_epoch: int) -> None:
    """Makes the running `fit` end without training an epoch; to be called from `on_train_begin`.

    Keras has no such request: `stop_training` is read after the first step. But after `on_train_begin`, `fit` evaluates
    `self._initial_epoch or initial_epoch` once and trains the epochs from there, so `_initial_epoch` is set past the
    last one.

    Args:
        model: The model being trained.
        epochs: The epoch iterator of that `fit`.
        last_epoch: Number of epochs that `fit` was asked for.
    """
    model._initial_epoch = _NoEpoch(model, epochs, max(last_epoch, 1))


class _NoEpoch(int):
    """An initial epoch past the last one, for one `fit` only.

    `_initial_epoch` would keep a plain number, and every later `fit` of the model would train nothing. `or` calls
    `__bool__`, the only code that runs between that read and the epochs, so `__bool__` does two things:

    - It restores the former `_initial_epoch`.
    - It returns True only for the `fit` it was made for, whose frame holds `epochs`. If another callback's error ended
      that `fit` before the read, the next `fit` meets this number; it gets False and trains from its own first epoch.
    """

    _model: weakref.ref[keras.Model]
    _epochs: weakref.ref[EpochIterator]
    _former: Any

    def __new__(cls, model: keras.Model, epochs: EpochIterator, epoch: int) -> _NoEpoch:
        self = super().__new__(cls, epoch)
        self._model, self._epochs, self._former = weakref.ref(model), weakref.ref(epochs), model._initial_epoch
        return self

    def __bool__(self) -> bool:
        model = self._model()
        if model is not None and model._initial_epoch is self:
            model._initial_epoch = self._former
        epochs = self._epochs()
        return epochs is not None and _epoch_iterator(sys._getframe(1)) is epochs


def on_fit_error(model: keras.Model, handler: Callable[[BaseException], None]) -> Callable[[], None]:
    """Calls `handler` once with the exception that ends the running `fit`, and lets the exception pass.

    Keras does not tell its callbacks of an exception, Ctrl-C among them, so a callback that has changed the optimizer
    could not restore it. Three things are wrapped to see it: the loop over the training batches, that over the
    validation batches, and the calls of all callbacks in between. All of them belong to objects that Keras makes for
    one `fit`; the model itself is not touched.

    Args:
        model: The model whose `fit` is calling.
        handler: Receives the exception, after which nothing is watched any more.

    Returns:
        A function that ends the watch; to be called when training ends without an error.
    """
    watch = _FitWatch(handler)
    watch.begin(model)
    return watch.end


class _FitWatch:
    """The wrappers that `on_fit_error` puts on the objects of one `fit`."""

    def __init__(self, handler: Callable[[BaseException], None]) -> None:
        self._handler = handler
        self._handled = False
        self._placed: list[tuple[Any, str]] = []

    def begin(self, model: keras.Model) -> None:
        """Watches the `fit` of `model` that is calling."""
        callbacks = callbacks_of_fit()
        if callbacks is not None:
            for name in _HOOKS:
                self._place(callbacks, name, self._watched(getattr(callbacks, name)))
            self._place(callbacks, "on_test_begin", self._watched(self._then_watch_validation(callbacks, model)))
        self._watch_loop(epoch_iterator_of_fit(model))

    def end(self) -> None:
        """Removes every wrapper."""
        for place, name in self._placed:
            place.__dict__.pop(name, None)
        self._placed.clear()

    def _then_watch_validation(self, callbacks: keras.callbacks.CallbackList, model: keras.Model) -> Callable[..., Any]:
        """`on_test_begin`, which comes after `fit` has made the iterator of its validation and before it is read."""
        on_test_begin = callbacks.on_test_begin

        def begin_and_watch(*arguments: Any, **options: Any) -> None:
            on_test_begin(*arguments, **options)
            self._watch_loop(getattr(model, "_eval_epoch_iterator", None))

        return begin_and_watch

    def _watch_loop(self, epochs: EpochIterator | None) -> None:
        """Watches a loop over batches, whose steps, data and callbacks all run inside `catch_stop_iteration`."""
        if epochs is None or (epochs, _LOOP) in self._placed:
            return
        inner = getattr(epochs, _LOOP)

        @contextmanager
        def watched() -> Iterator[None]:
            with self._reporting(), inner():
                yield

        self._place(epochs, _LOOP, watched)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*arguments: Any, **options: Any) -> Any:
            with self._reporting():
                return function(*arguments, **options)

        return watched

    def _place(self, place: Any, name: str, value: Any) -> None:
        setattr(place, name, value)
        self._placed.append((place, name))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if not self._handled:
                self._handled = True
                self._handler(error)
                self.end()
            raise


def move_before_backup(callback: keras.callbacks.Callback) -> None:
    """Moves `callback` before the `BackupAndRestore` of the running `fit`, if it comes after one.

    Each backup then includes what `callback` does at the end of that epoch. The list is Keras's own copy, so the user's
    list stays as it is, and moving an entry forward is safe while Keras iterates over the list.
    """
    running = callbacks_of_fit()
    backups = _backups(running)
    if running is not None and backups and running.callbacks.index(backups[0]) < running.callbacks.index(callback):
        running.callbacks.remove(callback)
        running.callbacks.insert(running.callbacks.index(backups[0]), callback)


def refuse_backup() -> None:
    """Refuses to end the running `fit` without an epoch if it has a backup of an unfinished run.

    Keras would train on from the backup, or delete it when that `fit` ends.

    Raises:
        InvalidArgumentError: A `BackupAndRestore` of the running `fit` holds a backup.
    """
    for backup in _backups(callbacks_of_fit()):
        if tf.io.gfile.exists(backup._weights_path):
            raise InvalidArgumentError(
                "`callbacks` must hold no `BackupAndRestore` with a backup of an unfinished run, since a range "
                f"test ends the fit at once. Received: backup_dir={str(backup.backup_dir)!r}. Finish that training "
                "first, or remove the callback from this fit."
            )


def _backups(running: keras.callbacks.CallbackList | None) -> list[keras.callbacks.BackupAndRestore]:
    callbacks = [] if running is None else running.callbacks
    return [one for one in callbacks if isinstance(one, keras.callbacks.BackupAndRestore)]
