"""What keras_lr relies on inside `fit`: its frame, its callback list, its loops, and how it reads the initial epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import pytest
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr._keras.running_fit import validation_of_fit
from tests._keras.tiny_model import X, Y, fit, tiny_model

EVERY_HOOK = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_test_end",
    "on_epoch_end",
    "on_train_end",
)


class Hooks(keras.callbacks.Callback):
    """Calls a function in each hook, with the hook's name."""

    def __init__(self, function: Callable[[str], None]) -> None:
        super().__init__()
        for name in EVERY_HOOK:
            setattr(self, name, lambda *_, name=name, **__: function(name))


def callers_self(depth: int = 2) -> list[tuple[Any, Any]]:
    """The frame and the local `self` of each caller, innermost first."""
    frame, found = sys._getframe(depth), []
    while frame is not None:
        found.append((frame, frame.f_locals.get("self")))
        frame = frame.f_back  # type: ignore[assignment]
    return found


def test_fit_evaluates_initial_epoch_by_its_truth_value_once_after_on_train_begin() -> None:
    model, seen = tiny_model(), []

    class First(int):
        def __bool__(self) -> bool:
            seen.append("read")
            return True

    hooks = Hooks(lambda name: seen.append(name) if name in ("on_train_begin", "on_epoch_begin") else None)
    model._initial_epoch = First(4)
    history = fit(model, hooks, epochs=5)
    assert seen == ["on_train_begin", "read", "on_epoch_begin"]
    assert history.epoch == [4]


def test_an_initial_epoch_past_the_last_one_trains_no_epoch() -> None:
    model = tiny_model()
    model._initial_epoch = 2
    assert fit(model, epochs=2).epoch == []


def test_initial_epoch_of_a_new_model_is_none() -> None:
    assert tiny_model()._initial_epoch is None


def test_a_callback_is_called_below_a_frame_of_fit_that_holds_the_epoch_iterator() -> None:
    model, found = tiny_model(), {}

    def look(name: str) -> None:
        iterators = [
            value
            for frame, caller in callers_self()
            if caller is model
            for value in frame.f_locals.values()
            if isinstance(value, EpochIterator)
        ]
        found[name] = iterators[-1].data_adapter._num_samples

    fit(model, Hooks(look), epochs=1, validation_data=(X[:2], Y[:2]))
    assert found == dict.fromkeys(EVERY_HOOK, 8)


def test_a_callback_is_given_its_model_below_the_method_that_was_called() -> None:
    model, found = tiny_model(), []

    class Given(keras.callbacks.Callback):
        def set_model(self, model: keras.Model) -> None:
            found.append(next(frame.f_code.co_name for frame, caller in callers_self() if caller is model))

    model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[Given()])
    model.evaluate(X, Y, verbose=0, callbacks=[Given()])
    model.predict(X, verbose=0, callbacks=[Given()])
    assert found == ["fit", "evaluate", "predict"]


def test_a_callback_is_called_through_a_callback_list_whose_callbacks_are_a_copy_of_the_user_s() -> None:
    model, found = tiny_model(), set()

    def look(name: str) -> None:
        lists = [caller for _, caller in callers_self() if isinstance(caller, keras.callbacks.CallbackList)]
        assert given[0] in lists[0].callbacks
        assert lists[0].callbacks is not given
        found.add(id(lists[0]))

    given = [Hooks(look)]
    model.fit(X, Y, callbacks=given, validation_data=(X, Y), verbose=0)
    assert len(found) == 1


def test_the_callback_list_calls_its_callbacks_in_their_order_even_after_one_is_moved_forward() -> None:
    model, called = tiny_model(), []

    def move(name: str) -> None:
        if name == "on_train_begin":
            callbacks = next(
                caller for _, caller in callers_self() if isinstance(caller, keras.callbacks.CallbackList)
            ).callbacks
            callbacks.remove(last)
            callbacks.insert(callbacks.index(first), last)

    first, last = Hooks(lambda name: called.append((name, "first"))), Hooks(lambda name: called.append((name, "last")))
    last.on_train_begin = lambda logs=None: move("on_train_begin")
    fit(model, first, last, epochs=1)
    assert [which for name, which in called if name == "on_epoch_end"] == ["last", "first"]


@pytest.mark.parametrize(
    "hook",
    ["on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"],
)
def test_fit_looks_a_hook_up_on_its_callback_list_at_each_call(hook: str) -> None:
    called: list[str] = []

    def replace(name: str) -> None:
        if name == "on_train_begin":
            callbacks = next(caller for _, caller in callers_self() if isinstance(caller, keras.callbacks.CallbackList))
            inner = getattr(callbacks, hook)
            setattr(callbacks, hook, lambda *args, **kwargs: called.append(hook) or inner(*args, **kwargs))

    fit(tiny_model(), Hooks(replace), epochs=1, validation_data=(X, Y), validation_batch_size=8)
    assert called == [hook]


def watched_errors(epochs: EpochIterator) -> list[str]:
    """Names of the errors that leave the iterator's loop, added as they come."""
    inner, errors = epochs.catch_stop_iteration, []

    @contextmanager
    def watched() -> Iterator[None]:
        try:
            with inner():
                yield
        except Exception as error:
            errors.append(str(error))
            raise

    epochs.catch_stop_iteration = watched  # type: ignore[method-assign]
    return errors


def fail(where: str) -> None:
    raise OSError(f"broken in {where}")


def batches() -> Iterator[Any]:
    yield X, Y
    yield X, Y
    fail("data")


@pytest.mark.parametrize("where", ["step", "on_train_batch_begin", "on_train_batch_end", "data"])
def test_catch_stop_iteration_of_the_epoch_iterator_wraps_the_steps(where: str) -> None:
    model, errors = tiny_model(), []

    def watch(name: str) -> None:
        if name == "on_train_begin":
            frames = (frame for frame, caller in callers_self() if caller is model)
            values = [value for frame in frames for value in frame.f_locals.values()]
            errors.append(watched_errors(next(value for value in values if isinstance(value, EpochIterator))))
        if name == where:
            fail(where)

    if where == "step":
        model.train_step = lambda data: fail("step")  # type: ignore[method-assign]
    data = {"x": batches(), "y": None, "batch_size": None, "steps_per_epoch": 3} if where == "data" else {}
    with pytest.raises(Exception, match=f"broken in {where}"):
        fit(model, Hooks(watch), **data)
    assert len(errors[0]) == 1
    assert f"broken in {where}" in errors[0][0]


def test_eval_epoch_iterator_is_set_before_on_test_begin_and_its_loop_is_entered_after() -> None:
    model, errors = tiny_model(), []

    def watch(name: str) -> None:
        if name == "on_test_begin":
            assert isinstance(model._eval_epoch_iterator, EpochIterator)
            errors.append(watched_errors(model._eval_epoch_iterator))
        if name == "on_test_batch_end":
            fail(name)

    with pytest.raises(OSError, match="broken in on_test_batch_end"):
        fit(model, Hooks(watch), validation_data=(X, Y))
    assert errors == [["broken in on_test_batch_end"]]


def test_a_tf_epoch_iterator_is_an_epoch_iterator() -> None:
    assert issubclass(TFEpochIterator, EpochIterator)


def test_weights_path_of_backup_and_restore_exists_while_a_backup_does(tmp_path: Path) -> None:
    model, backup = tiny_model(), keras.callbacks.BackupAndRestore(tmp_path / "backup")
    present: list[tuple[str, bool]] = []
    hooks = Hooks(lambda name: present.append((name, Path(backup._weights_path).exists())))
    fit(model, backup, hooks, epochs=1)
    assert ("on_epoch_begin", False) in present
    assert ("on_epoch_end", True) in present
    assert not Path(backup._weights_path).exists()


class Note(keras.layers.Layer):
    """A layer without weights that saves one array of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.built = number, True

    def save_own_variables(self, store: Any) -> None:
        store["number"] = self.number

    def load_own_variables(self, store: Any) -> None:
        self.number = int(store["number"][()]) if "number" in store else -1


def test_a_layer_set_on_the_optimizer_is_saved_and_loaded_with_the_weights(tmp_path: Path) -> None:
    model, path = tiny_model(), tmp_path / "saved.weights.h5"
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "bare.weights.h5")
    model.optimizer.note = Note(7)
    model.save_weights(path)
    model.optimizer.note.number = 0
    model.load_weights(path)
    assert model.optimizer.note.number == 7
    model.load_weights(tmp_path / "bare.weights.h5")
    del model.optimizer.note
    model.load_weights(path)


def test_a_callback_finds_the_validation_data_of_fit_in_its_frame() -> None:
    """`fit` holds them as `validation_data`, split off or given, beside the batch sizes that `evaluate` gets."""
    seen: list[Any] = []
    model = tiny_model()
    hooks = Hooks(lambda name: seen.append(validation_of_fit(model)) if name == "on_epoch_begin" else None)
    fit(model, hooks, epochs=1)
    fit(model, hooks, epochs=1, validation_split=0.5, batch_size=2)
    fit(model, hooks, epochs=1, validation_data=(X, Y), validation_batch_size=3, validation_steps=1)
    without, split, given = seen
    assert without is None
    assert (len(split["x"]), split["batch_size"]) == (len(X) - len(X) // 2, 2)
    assert (given["x"] is X, given["y"] is Y) == (True, True)
    assert (given["batch_size"], given["steps"], given["sample_weight"]) == (3, 1, None)
    assert validation_of_fit(model) is None
