"""`LRRangeTest` inside `model.fit`."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr._utils import progress
from keras_lr._utils.formatting import format_rate
from keras_lr.cli._main import build_parser
from keras_lr.errors import DataError, InvalidArgumentError, InvalidRangeError, ModelError
from tests.training_models import CROSS_ENTROPY, all_values, custom_step, plain_classifier


class Diary(keras.callbacks.Callback):
    """Records which hooks `fit` calls."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.events.append("begin")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"epoch {epoch}")

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append("end")


def seeded(rate: Any) -> keras.Model:
    keras.utils.set_random_seed(5)
    return plain_classifier(keras.optimizers.Adam(rate))


@pytest.mark.parametrize(
    "compiled_rate",
    [lambda: 1e-6, lambda: keras.optimizers.schedules.CosineDecay(1e-6, 10)],
    ids=["number", "schedule"],
)
def test_apply_trains_as_if_compiled_with_the_suggestion(compiled_rate: Any, digits: Any) -> None:
    model, finder, diary = seeded(compiled_rate()), keras_lr.LRRangeTest(apply=True, min_lr=1e-6), Diary()
    history = model.fit(*digits, epochs=2, verbose=0, callbacks=[finder, diary]).history
    suggested = finder.result.suggestion.learning_rate
    assert 1e-4 < suggested < 1e-1
    assert float(model.optimizer.learning_rate) == pytest.approx(suggested)
    assert diary.events == ["begin", "epoch 0", "epoch 1", "end"]
    other = seeded(suggested)
    assert other.fit(*digits, epochs=2, verbose=0).history == history
    for one, two in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, two)


def test_apply_without_a_suggestion_is_refused_and_restored(digits: Any) -> None:
    model = seeded(1e-3)
    model.optimizer.build(model.trainable_variables)
    before = all_values(model)
    finder = keras_lr.LRRangeTest(apply=True, min_lr=1e-12, max_lr=1e-11, num_steps=30)
    with pytest.raises(ModelError, match=r"`apply=True` needs a suggested learning rate, but .* gave none: .*Set"):
        model.fit(*digits, verbose=0, callbacks=[finder])
    assert finder.result.suggestion.confidence == "none"
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_fit_ends_without_an_epoch_and_the_next_one_is_whole(digits: Any) -> None:
    model, finder, diary = seeded(1e-3), keras_lr.LRRangeTest(num_steps=30, max_lr=1e-2), Diary()
    validation = tuple(part[:50] for part in digits)
    history = model.fit(*digits, epochs=3, verbose=0, validation_data=validation, callbacks=[diary, finder])
    assert history.history == {}
    assert diary.events == ["begin", "end"]
    assert not model.stop_training
    assert len(finder.result.losses) == 30
    assert len(model.fit(*digits, epochs=2, verbose=0).history["loss"]) == 2


class AllEpochs(keras.Sequential):
    """A model that trains every epoch, whatever a callback asks for."""

    @property
    def _initial_epoch(self) -> None:
        return None

    @_initial_epoch.setter
    def _initial_epoch(self, epoch: Any) -> None: ...


def test_a_callback_list_of_the_user_s_needs_no_parameters(digits: Any) -> None:
    images, labels = digits
    model = plain_classifier()
    for epochs in (3, 5):
        finder = keras_lr.LRRangeTest(num_steps=5)
        watched = keras.callbacks.CallbackList([finder], add_history=True, model=model)
        fitted = model.fit(images[:64], labels[:64], epochs=epochs, batch_size=16, verbose=0, callbacks=watched)
        assert fitted.history == {}
        assert finder.params == {"epochs": epochs, "steps": 4, "verbose": 0}
        assert finder.result.from_json(finder.result.to_json()).epochs == epochs


def test_a_fit_that_does_not_end_trains_no_step(digits: Any) -> None:
    model = AllEpochs(plain_classifier().layers)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = all_values(model)
    with pytest.raises(ModelError, match=r"could not end this fit before its first epoch.*`find_lr`, or pass `apply"):
        model.fit(*digits, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=20)])
    for old, new in zip(before, all_values(model), strict=False):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("place", [0, 1])
def test_the_backup_of_an_unfinished_training_is_left_alone(place: int, digits: Any, tmp_path: Any) -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    def backup() -> keras.callbacks.Callback:
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    model = plain_classifier()
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits, epochs=4, verbose=0, callbacks=[backup(), stop])
    callbacks = [backup()]
    callbacks.insert(place, keras_lr.LRRangeTest(num_steps=20))
    with pytest.raises(InvalidArgumentError, match="`callbacks` must hold no `BackupAndRestore` with a backup"):
        model.fit(*digits, epochs=4, verbose=0, callbacks=callbacks)
    assert model.fit(*digits, epochs=4, verbose=0, callbacks=[backup()]).epoch == [2, 3]
    assert model.fit(*digits, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=20), backup()]).epoch == []


def test_it_is_only_a_callback_of_fit(digits: Any) -> None:
    finder = keras_lr.LRRangeTest()
    finder.set_model(seeded(1e-3))
    with pytest.raises(DataError, match=r"the `model\.fit` that is running\. .* Use `find_lr`"):
        finder.on_train_begin()


def test_steps_of_a_sweep_span_epochs_and_executions(digits: Any) -> None:
    model = plain_classifier("sgd", steps_per_execution=10)
    finder = keras_lr.LRRangeTest(num_steps=77, min_lr=1e-6, max_lr=1e-3)
    model.fit(digits[0][:320], digits[1][:320], verbose=0, callbacks=[finder])
    assert finder.result.stop_reason == "completed"
    np.testing.assert_allclose(finder.result.learning_rates, np.geomspace(1e-6, 1e-3, 77))
    assert finder.result.losses.shape == (77,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"min_lr": 0.1, "max_lr": 0.01}, InvalidRangeError, r"`max_lr` must be greater.*max_lr=0\.01\. Swap them\."),
        ({"min_lr": 0.1, "max_lr": 0.1}, InvalidRangeError, r"`max_lr` must be greater.*Widen the range\."),
        ({"min_lr": 0.0}, InvalidRangeError, r"`min_lr` must be a finite number above 0\. Received: min_lr=0\.0"),
        ({"min_lr": -1e-3}, InvalidRangeError, r"`min_lr` must be a finite number above 0\. Received: min_lr=-0\.001"),
        ({"max_lr": float("inf")}, InvalidRangeError, r"`max_lr` must be a finite number above 0\. Received.*inf"),
        ({"max_lr": "1"}, InvalidRangeError, r"`max_lr` must be a finite number above 0\. Received: max_lr='1'"),
        ({"num_steps": 1}, InvalidArgumentError, r"`num_steps` must be an integer >= 2. Received: 1\."),
        ({"num_steps": 10.0}, InvalidArgumentError, r"`num_steps` must be an integer >= 2. Received: 10\.0"),
        ({"sweep": "cubic"}, InvalidArgumentError, r"`sweep` must be .* Received: 'cubic'"),
        ({"repeats": True}, InvalidArgumentError, r"`repeats` must be an integer >= 1. Received: True\."),
        ({"verbose": "yes"}, InvalidArgumentError, r"`verbose` must be \"auto\", True.* Received: 'yes'"),
        ({"verbose": None}, InvalidArgumentError, "`verbose` must be .* Received: None"),
        ({"verbose": 3}, InvalidArgumentError, "`verbose` must be .* Received: 3"),
        (
            {"stop_on_divergence": "no"},
            InvalidArgumentError,
            "`stop_on_divergence` must be True or False. Received: 'no'",
        ),
        ({"refine": "no"}, InvalidArgumentError, "`refine` must be True or False. Received: 'no'"),
        ({"apply": "no"}, InvalidArgumentError, "`apply` must be True or False. Received: 'no'"),
        ({"validation_data": [1, 2]}, InvalidArgumentError, r"`validation_data` must be a tuple.*Received: list"),
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        keras_lr.LRRangeTest(**arguments)


def test_every_way_to_run_a_range_test_has_the_same_defaults() -> None:
    names = ("min_lr", "max_lr", "num_steps", "sweep", "repeats")
    call, callback, auto = (
        inspect.signature(way).parameters for way in (keras_lr.find_lr, keras_lr.LRRangeTest, keras_lr.AutoLR)
    )
    defaults = {name: call[name].default for name in names}
    assert defaults == {"min_lr": 1e-7, "max_lr": 10.0, "num_steps": 100, "sweep": "exponential", "repeats": 1}
    assert {name: callback[name].default for name in names} == defaults
    command = vars(build_parser().parse_args(["find", "train.py:build", "--data", "train.py:data"]))
    assert {name: command[name] for name in names} == defaults
    assert (auto["min_lr"].default, auto["max_lr"].default, auto["probe_steps"].default) == (1e-7, 10.0, 100)


@pytest.mark.parametrize("verbose", ["auto", 0, 1, 2, True, False, np.True_])
def test_every_verbose_of_keras_is_accepted(verbose: Any) -> None:
    assert keras_lr.LRRangeTest(verbose=verbose).settings.verbose is verbose


def test_bad_models_are_refused_before_a_step(digits: Any) -> None:
    steps = []

    class Counted(type(custom_step())):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            steps.append(1)
            return super().train_step(data)

    finder = keras_lr.LRRangeTest(num_steps=5)
    frozen = Counted()
    frozen(digits[0][:2])
    frozen.trainable = False
    frozen.compile("sgd")
    with pytest.raises(ModelError, match=r"`model` must have trainable weights\. Received a model without any"):
        frozen.fit(*digits, verbose=0, callbacks=[finder])
    without = plain_classifier()
    without.compile(optimizer=None, loss=CROSS_ENTROPY)
    with pytest.raises(ModelError, match=r"`model` must be compiled with an optimizer\. Received none"):
        without.fit(*digits, verbose=0, callbacks=[finder])
    with pytest.raises(ModelError, match=r"`model` must be compiled\. Received an uncompiled model"):
        keras_lr.find_lr(Counted(), *digits)
    assert steps == []


def test_what_was_found_is_one_line_on_stderr_unless_it_is_hidden(
    digits: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_FIRST_PAUSE_SECONDS", 0.0)
    model = plain_classifier()
    finder = keras_lr.LRRangeTest(num_steps=5, max_lr=1e-3)
    keras_lr.find_lr(model, *digits, num_steps=5, max_lr=1e-3, verbose=0)
    model.fit(*digits, verbose=0, callbacks=[finder])
    quiet = capsys.readouterr()
    keras_lr.find_lr(model, *digits, num_steps=5, max_lr=1e-3)
    shown = capsys.readouterr()
    assert quiet.out == quiet.err == shown.out == ""
    assert finder.result is not None
    assert shown.err.splitlines()[-1] == (f"keras_lr: no usable learning rate found. {finder.result.suggestion.reason}")


def test_a_rate_that_is_applied_is_named(digits: Any, capsys: Any) -> None:
    finder = keras_lr.LRRangeTest(num_steps=100, apply=True, verbose=1)
    plain_classifier().fit(*digits, verbose=0, callbacks=[finder])
    assert finder.result is not None
    rate = format_rate(finder.result.suggestion.learning_rate)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"keras_lr: suggested learning rate {rate}, ")
    assert line.endswith(" The optimizer now trains at this rate.")
