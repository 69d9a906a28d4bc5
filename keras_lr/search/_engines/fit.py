"""The engines that call `fit`, and so support callbacks, any data and any model: reuse and rebuild."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lr._keras.callback_state import TrainingSetup
from keras_lr._keras.learning_rate import keeps_average
from keras_lr._keras.reader_state import variables_of
from keras_lr._keras.running_fit import epoch_iterator_of_fit
from keras_lr._keras.snapshot import RandomState
from keras_lr._keras.tf_data import uses_any
from keras_lr._keras.traced_state import hidden_state_of_steps
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._search_records import Run
from keras_lr.results._sensitivity import EngineName
from keras_lr.search._engines.base import Engine, HiddenStateError, training_dataset, validation_dataset, weights_of
from keras_lr.search._engines.twins import with_last_bit_changed
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._model_factory import (
    ModelFactory,
    ReusableModel,
    TunedHypermodel,
    difference,
    load_state,
    whole_description,
)
from keras_lr.search._recorder import Recorder
from keras_lr.search._runs import ordered_batches

_ARRAY_ARGUMENTS = ("y", "sample_weight", "class_weight", "batch_size", "shuffle")


class RecordEpochs(keras.callbacks.Callback):
    """Records each epoch of one run, and ends the run when the recorder says so.

    Args:
        run: The run.
        recorder: Records it.
        own_fit: Whether the hypermodel has a `fit` of its own, which may divide the data into batches of another size.
    """

    def __init__(self, run: Run, recorder: Recorder, *, own_fit: bool) -> None:
        super().__init__()
        self._run = run
        self._recorder = recorder
        self._own_fit = own_fit
        self.epochs = 0
        self.stopped = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Records the batch size of a `fit` of the hypermodel's own."""
        epochs = epoch_iterator_of_fit(self.model) if self._own_fit else None
        size = None if epochs is None else epochs.data_adapter.batch_size
        if size is not None:
            self._recorder.event("batch_size", size=int(size))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records the logs."""
        self.stopped = bool(self.model.stop_training)
        ended = self._recorder.record(self.epochs, {self._run: logs or {}}, lambda run: weights_of(self.model))
        self.epochs += 1
        if ended:
            self.model.stop_training = True


class _CompareEpochs(keras.callbacks.Callback):
    """Hands the logs of each epoch of a twin on, and ends its training once it has settled."""

    def __init__(self, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        super().__init__()
        self._settles = settles
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Hands the logs on."""
        self.epochs += 1
        self.model.stop_training = self._settles(logs or {})


class PausedCallbacks(keras.callbacks.Callback):
    """The user's callbacks of a run that several calls of `fit` train, for whom the training begins and ends once."""

    def __init__(self, callbacks: Sequence[Any]) -> None:
        super().__init__()
        self._callbacks = list(callbacks)
        self._begun = False

    def set_params(self, params: dict[str, Any]) -> None:
        """Passes the parameters on."""
        for callback in self._callbacks:
            callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        """Passes the model on."""
        super().set_model(model)
        for callback in self._callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Passes the first beginning on."""
        if not self._begun:
            self._begun = True
            for callback in self._callbacks:
                callback.on_train_begin(logs)

    def finish(self) -> None:
        """Ends the training for the callbacks."""
        for callback in self._callbacks:
            callback.on_train_end()


def _passed_on(name: str) -> Any:
    def method(self: PausedCallbacks, *args: Any, **kwargs: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, name)(*args, **kwargs)

    return method


for _name in (
    *("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end"),
    *("on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end"),
):
    setattr(PausedCallbacks, _name, _passed_on(_name))


@dataclass
class _Training:
    """One run, which one or more calls of `fit` train.

    Attributes:
        recording: Records its epochs.
        callbacks: The user's callbacks.
        given: The arguments of `fit` without the callbacks.
        state: What the engine goes on from once the run has paused.
        random: The random numbers to come; None before the first call.
    """

    recording: RecordEpochs
    callbacks: list[Any]
    given: dict[str, Any]
    state: Any = None
    random: RandomState | None = None


class FitEngine(Engine):
    """Trains each run by one call of `fit`, or by one more each time a paused run goes on.

    Args:
        factory: Builds the models.
        arguments: The arguments of the search.
        recorder: Records each epoch.
        hypermodel: Calls `fit`, and adapts the user's callbacks to a run.
    """

    def __init__(
        self, factory: ModelFactory, arguments: FitArguments, recorder: Recorder, hypermodel: TunedHypermodel
    ) -> None:
        super().__init__(factory, arguments, recorder)
        self.hypermodel = hypermodel

    def _fit_run(self, run: Run, model: keras.Model) -> None:
        training = self.paused.pop(run, None) or self._new_training(run)
        if training.random is not None:
            training.random.restore()
        recording = training.recording
        given = {**training.given, "callbacks": [*training.callbacks, recording], "verbose": 0}
        if recording.epochs:
            given["initial_epoch"] = recording.epochs
            steps = given.get("steps_per_epoch")
            if steps and given["x"].cardinality() == tf.data.INFINITE_CARDINALITY:
                copied = training_dataset(run, self.arguments.given["x"])
                given["x"] = copied.skip(recording.epochs * steps)
        result = self.hypermodel.fit(run, model, given)
        if result is None and not recording.epochs:
            raise InvalidArgumentError(
                "`fit` returned before a single epoch was recorded. Pass `callbacks` on to `model.fit` in the "
                "hypermodel's own `fit`, or return the objective, and remove any callback that stops the training at "
                "once."
            )
        if result is not None:
            if not recording.epochs:
                self.recorder.record_returned(run, result, lambda run: weights_of(model))
            self.recorder.returned(run, result)
        epochs = recording.epochs or len(result.epochs if result else ())
        self.recorder.end(run, epochs, stopped=recording.stopped)
        # Other runs will have read on by then.
        if (
            self.recorder.pauses(run)
            and _can_go_on(model, given, recording.epochs)
            and not self.arguments.readers.has_moved()
        ):
            training.random = RandomState()
            self.paused[run] = training
        else:
            _finish([training])

    @property
    def has_twins(self) -> bool:
        """Whether the runs read arrays, and no code of the user's sees them."""
        return self.arguments.train is not None and not (
            self.arguments.callbacks or self.hypermodel.calls_own_fit or self.hypermodel.hooks
        )

    def _fit_twin(self, run: Run, model: keras.Model, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        keras.utils.set_random_seed(run.seed)
        comparing = _CompareEpochs(settles)
        model.fit(**{**self._fit_arguments(run, comparing), "callbacks": [comparing], "verbose": 0})

    def forget(self, runs: Iterable[Run]) -> None:
        """Drops what is kept of paused runs that will not go on, after their callbacks have ended."""
        runs = list(runs)
        _finish(self.paused[run] for run in runs if run in self.paused)
        super().forget(runs)

    def _new_training(self, run: Run) -> _Training:
        self.arguments.readers.rewind()
        keras.utils.set_random_seed(run.seed)
        recording = RecordEpochs(run, self.recorder, own_fit=self.hypermodel.calls_own_fit)
        callbacks = self.hypermodel.prepare_callbacks(run, self._copied_callbacks())
        # Preparing them may have drawn random numbers.
        keras.utils.set_random_seed(run.seed)
        if callbacks and self.recorder.pauses(run):
            callbacks = [PausedCallbacks(callbacks)]
        return _Training(recording, callbacks, self._fit_arguments(run, recording))

    def _fit_arguments(self, run: Run, recording: RecordEpochs | _CompareEpochs) -> dict[str, Any]:
        given = dict(self.arguments.given)
        if isinstance(validation := given.get("validation_data"), tf.data.Dataset):
            given["validation_data"] = validation_dataset(run, validation)
        if self.arguments.train is None:
            if isinstance(data := given.get("x"), tf.data.Dataset):
                # A copy of the pipeline would have variables of its own.
                follows = uses_any(data, variables_of(self.arguments.held))
                given.update(x=data if follows else training_dataset(run, data), shuffle=False)
            return given
        if self.hypermodel.calls_own_fit:
            # It is called as the user would call it.
            chosen = "batch_size" in given or self.hypermodel.searches_batch_size
            return {**self.arguments.given_arrays(), **({"batch_size": run.batch_size} if chosen else {})}
        given["batch_size"] = run.batch_size
        given["validation_batch_size"] = self.arguments.validation_batch_size or run.batch_size
        return self._with_ordered_batches(given, run, recording)

    def _with_ordered_batches(
        self, given: dict[str, Any], run: Run, recording: RecordEpochs | _CompareEpochs
    ) -> dict[str, Any]:
        """`given` with batches in the order that all engines share instead of the training arrays.

        The dataset holds one pass. If it held them all and Keras counted the steps, an epoch would run on to a multiple
        of `steps_per_execution`. With `steps_per_epoch`, Keras reads a pass over several epochs, and ends the last of
        them where the data end; it makes an iterator for each pass.
        """
        arguments = self.arguments
        kept = {name: value for name, value in given.items() if name not in _ARRAY_ARGUMENTS}
        order: dict[str, Any] = {"seed": run.seed, "batch_size": run.batch_size, "shuffle": arguments.shuffle}
        passes = itertools.count()
        whole = given.get("steps_per_epoch") is None
        first = (lambda: recording.epochs) if whole else (lambda: next(passes))
        return {**kept, "x": ordered_batches(arguments.train, **order, epochs=1, first_epoch=first), "shuffle": False}

    def _copied_callbacks(self) -> list[Any]:
        callbacks = list(self.arguments.callbacks)
        try:
            shared = {id(one): one for one in (*_data_held_by(callbacks), *self.arguments.held)}
            return copy.deepcopy(callbacks, shared)
        except Exception as error:
            names = [type(callback).__name__ for callback in self.arguments.callbacks]
            raise InvalidArgumentError(
                f"`callbacks` must support `copy.deepcopy`, because each run trains with its own copies. Received: "
                f"{names}, and copying failed: {error}. Remove the callback that cannot be copied."
            ) from error


class ReuseEngine(FitEngine):
    """Trains one traced model for every run, and resets its state between runs.

    What a callback changes of the model beside its variables, such as frozen layers or another `compile`, cannot be
    reset. Once a run has shown that it does, no further run is trained.
    """

    name: ClassVar[EngineName] = "reuse"
    _reusable: ReusableModel | None = None
    _setup: TrainingSetup | None = None
    _description: Mapping[str, Any] | None = None

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one by one."""
        for run in runs:
            self._check_unchanged()
            self._set_up(run)
            assert self._reusable is not None
            self._fit_run(run, self._reusable.model)
            if run in self.paused:
                self.paused[run].state = self._reusable.state()

    def train_twin(self, run: Run, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        """Trains `run` once more, from weights with their last bit changed."""
        assert self._reusable is not None
        self._reusable.reset([*map(with_last_bit_changed, self.factory.initial_state(run))], run.learning_rate)
        self._fit_twin(run, self._reusable.model, settles)

    @property
    def has_twins(self) -> bool:
        """Whether it has trained arrays that no code of the user's sees."""
        return self._reusable is not None and super().has_twins

    def _set_up(self, run: Run) -> None:
        """Sets the model to the state in which `run` starts or goes on."""
        if run in self.paused and self._reusable is not None:
            self._reusable.restore(self.paused[run].state, run.learning_rate)
            return
        state = self.factory.initial_state(run)
        if self._reusable is None:
            model = self.factory.any_model(run)
            if hidden := hidden_state_of_steps(model, self.arguments.first_batch(run.batch_size)):
                raise HiddenStateError(f"its step {hidden}")
            self._reusable = ReusableModel(model)
            if self.arguments.callbacks or self.hypermodel.hooks:
                self._setup, self._description = TrainingSetup(model), whole_description(model)
        self._reusable.reset(state, run.learning_rate)

    def _check_unchanged(self) -> None:
        """Raises `HiddenStateError` if the code that `fit` calls has changed the model in a way that stays."""
        if self._reusable is None or self._setup is None or self._description is None:
            return
        if change := self._setup.change(self._reusable.model):
            raise HiddenStateError(f"a callback changes the model for good: {change}")
        if place := difference(self._description, whole_description(self._reusable.model)):
            raise HiddenStateError(f"a callback changes {place} for good")


class RebuildEngine(FitEngine):
    """Builds and traces a new model for each run."""

    name: ClassVar[EngineName] = "rebuild"

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one by one."""
        for run in runs:
            model = self.paused[run].state if run in self.paused else self.factory.model(run)
            self._fit_run(run, model)
            if run in self.paused:
                self.paused[run].state = model

    @property
    def has_twins(self) -> bool:
        """Whether it has weights to change before `fit`, and no code of the user's sees the training."""
        return not self.factory.unbuilt and super().has_twins

    def train_twin(self, run: Run, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        """Trains `run` once more, from weights with their last bit changed."""
        model = self.factory.model(run)
        load_state(model, [with_last_bit_changed(variable.numpy()) for variable in model.variables])
        self._fit_twin(run, model, settles)


def _data_held_by(callbacks: Sequence[Any]) -> list[Any]:
    """The datasets that callbacks hold: they cannot be copied, or are those that the run reads."""
    held = [value for callback in callbacks for value in vars(callback).values()]
    held += [part for value in held if isinstance(value, (list, tuple)) for part in value]
    held += [part for value in held if isinstance(value, dict) for part in value.values()]
    return [part for part in held if isinstance(part, (tf.data.Dataset, keras.utils.PyDataset))]


def _can_go_on(model: keras.Model, given: Mapping[str, Any], epochs: int) -> bool:
    """Whether another call of `fit` would train on after `epochs` epochs as if the first had not ended.

    `fit` ends by replacing the weights by their average where the optimizer keeps one. With `steps_per_epoch` it may
    end within a pass over the data, while the next call begins another one.
    """
    steps = given.get("steps_per_epoch")
    if keeps_average(model.optimizer):
        return False
    if steps is None:
        return True
    batches = int(given["x"].cardinality()) if isinstance(given["x"], tf.data.Dataset) else 0
    return batches == tf.data.INFINITE_CARDINALITY or (batches > 0 and epochs % -(-batches // steps) == 0)


def _finish(trainings: Iterable[_Training]) -> None:
    """Ends the training for callbacks that have been kept from seeing the end of each `fit`."""
    for training in trainings:
        for callback in training.callbacks:
            if isinstance(callback, PausedCallbacks):
                callback.finish()
