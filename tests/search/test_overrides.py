"""What a KerasTuner user overrides counts as it does there: each test asks KerasTuner's own grid search the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from keras_lr.errors import InvalidArgumentError, UnknownArgumentError
from keras_lr.search import LogGridSearch
from tests.search.small_search import classifier, iris, run_small, small_search

RATES = [1e-3, 1e-2, 1e-1]
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :1] - X[:, 1:2]
ARRAYS: dict[str, Any] = {"x": X, "y": Y, "validation_data": (X, Y), "epochs": 2}


def build(hp: Any, *, eager: bool = True) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    # Tracing a training step takes longer than all that is compared here.
    model.compile(keras.optimizers.SGD(hp.Choice("learning_rate", RATES)), "mse", run_eagerly=eager)
    return model


def fitting(fit: Callable[..., Any]) -> keras_tuner.HyperModel:
    """A hypermodel with `fit` as its own."""
    kind = type("Fitting", (keras_tuner.HyperModel,), {"build": lambda self, hp: build(hp), "fit": staticmethod(fit)})
    hypermodel: keras_tuner.HyperModel = kind()
    return hypermodel


def overriding(base: type, **methods: Any) -> Any:
    """A subclass of `base` with `methods`; each takes the inherited method as its second argument."""

    def method(name: str, function: Any) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(self, getattr(super(kind, self), name), *args, **kwargs)

        return call

    kind: type = type("Mine", (base,), {name: method(name, function) for name, function in methods.items()})
    return kind


def rate_of(trial: Any) -> float:
    return float(trial.hyperparameters.get("learning_rate"))


def both(
    tmp_path: Path, hypermodel: Any, arguments: dict[str, Any], *, objective: Any = "val_loss", **methods: Any
) -> tuple[Any, LogGridSearch]:
    """KerasTuner's search and ours, each after it has searched."""
    grid = overriding(keras_tuner.GridSearch, **methods)(hypermodel, objective, directory=tmp_path / "keras_tuner")
    ours = overriding(LogGridSearch, **methods)(
        hypermodel, objective, learning_rates=RATES, repeats=1, extend=False, directory=tmp_path
    )
    for tuner in (grid, ours):
        tuner.search(**arguments, verbose=0)
    return grid, ours


def scores(tuner: Any) -> dict[float, float]:
    """The score of each rate whose trial is complete."""
    return {rate_of(trial): trial.score for trial in tuner.oracle.trials.values() if trial.status == "COMPLETED"}


def assert_same(grid: Any, ours: LogGridSearch) -> None:
    """The scores are KerasTuner's, in this process and in one that reads the records, and so is the best rate."""
    assert scores(ours) == pytest.approx(scores(grid))
    again = LogGridSearch(
        ours.hypermodel, ours.oracle.objective, learning_rates=RATES, repeats=1, extend=False, directory=ours.directory
    )
    assert scores(again) == pytest.approx(scores(grid))
    best = rate_of(grid.oracle.get_best_trials(1)[0])
    assert [tuner.get_best_hyperparameters()[0].get("learning_rate") for tuner in (ours, again)] == [best, best]
    assert ours.sensitivity().best_learning_rate == best


def best_is_the_middle(rate: float) -> float:
    return abs(float(np.log10(rate)) + 2)


@pytest.mark.parametrize(
    ("returned", "trains"),
    [
        (best_is_the_middle, True),
        (best_is_the_middle, False),
        (lambda rate: np.float32(best_is_the_middle(rate)), False),
        (lambda rate: {"val_loss": best_is_the_middle(rate), "other": 1.0}, True),
        (lambda rate: [best_is_the_middle(rate), 2.0, {"val_loss": 0.5}], False),
    ],
    ids=["number after training", "number", "float32", "dict after training", "list"],
)
def test_what_fit_returns_decides(tmp_path: Path, returned: Any, trains: bool) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        if trains:
            model.fit(*args, **{**kwargs, "epochs": 1})
        return returned(hp.get("learning_rate"))

    grid, ours = both(tmp_path, fitting(fit), ARRAYS)
    assert_same(grid, ours)
    assert ours.sensitivity().engine == "rebuild"


def test_the_epochs_are_recorded_beside_what_fit_returns(tmp_path: Path) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> float:
        model.fit(*args, **kwargs)
        return best_is_the_middle(hp.get("learning_rate"))

    _, ours = both(tmp_path, fitting(fit), ARRAYS)
    result = ours.sensitivity()
    assert (result.objective, result.best_learning_rate) == ("objective", 1e-2)
    middle = result.frame[result.frame["learning_rate"] == 1e-2]
    # From zero weights, the loss before any step is the mean square of the targets.
    assert (middle["val_loss"] < float(np.mean(Y**2))).all()
    assert middle["objective"].tolist() == pytest.approx([np.nan, 0.0], nan_ok=True)


@pytest.mark.parametrize("direction", ["min", "max"])
def test_without_an_objective_a_number_is_minimized(tmp_path: Path, direction: str) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> float:
        return best_is_the_middle(hp.get("learning_rate"))

    objective = None if direction == "min" else keras_tuner.Objective("score", "max")
    assert_same(*both(tmp_path, fitting(fit), {}, objective=objective))


def test_the_last_history_counts_and_not_the_epochs_before_it(tmp_path: Path) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        model.fit(*args, **kwargs)
        model.set_weights([10 * np.ones_like(weight) for weight in model.get_weights()])
        return model.fit(*args, **{**kwargs, "epochs": 1, "batch_size": 32})

    grid, ours = both(tmp_path, fitting(fit), ARRAYS)
    assert_same(grid, ours)


def test_fit_decides_how_long_a_run_is(tmp_path: Path) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, epochs=hp.Fixed("epochs", 4), batch_size=32, **kwargs)

    arguments = {name: value for name, value in ARRAYS.items() if name != "epochs"}
    grid, ours = both(tmp_path, fitting(fit), arguments)
    assert_same(grid, ours)
    assert ours.sensitivity().frame.groupby("learning_rate").size().tolist() == [4, 4, 4]
    lines = (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text()
    ours.search(**arguments, verbose=0)
    assert (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text() == lines


def test_fit_may_bring_the_data(tmp_path: Path) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(X, Y, validation_data=(X, Y), batch_size=32, **kwargs)

    assert_same(*both(tmp_path, fitting(fit), {"epochs": 2}))


def test_fit_gets_the_arguments_as_search_did(tmp_path: Path) -> None:
    def fit(hp: Any, model: keras.Model, train: Any, *, callbacks: Any, scale: float, **kwargs: Any) -> float:
        # KerasTuner passes `verbose` on if it was given, and nothing else.
        assert (len(callbacks) > 0, kwargs) == (True, {"verbose": 0})
        model.fit(*train, callbacks=callbacks, **kwargs)
        return scale * best_is_the_middle(hp.get("learning_rate"))

    assert_same(*both(tmp_path, fitting(fit), {"train": (X, Y), "scale": 3.0}))


def test_a_hyperparameter_that_only_fit_names_is_among_the_values(tmp_path: Path) -> None:
    def fit(hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> float:
        return best_is_the_middle(hp.get("learning_rate")) + hp.Choice("extra", [0, 1])

    with pytest.warns(UserWarning, match=r"varies the learning rate, not .* keep their defaults: `extra` = 0\."):
        grid, ours = both(tmp_path, fitting(fit), ARRAYS)
    best = grid.get_best_hyperparameters()[0].values
    assert ours.get_best_hyperparameters()[0].values == best == {"learning_rate": 1e-2, "extra": 0}
    again = small_search(ours.hypermodel, tmp_path, repeats=1, learning_rates=RATES)
    assert again.get_best_hyperparameters()[0].values == best


@pytest.mark.parametrize(
    ("returned", "shown"),
    [({"loss": 1.0}, r"a dict of \['loss'\]"), ("good", "'good'"), ([], r"\[\]"), ([1.0, None], "None")],
)
def test_a_result_without_the_objective_is_refused(tmp_path: Path, returned: Any, shown: str) -> None:
    tuner = small_search(fitting(lambda hp, model, *args, **kwargs: returned), tmp_path, repeats=1)
    with pytest.raises(
        InvalidArgumentError, match=rf"`HyperModel.fit` must return .* 'val_loss' .*Received: {shown}\."
    ):
        tuner.search(**ARRAYS, verbose=0)


class FitsMore(keras.Sequential):
    """Has a `fit` that trains on more data, in larger batches and for longer than it is told."""

    def fit(self, x: Any, y: Any, *, epochs: int, **options: Any) -> Any:
        assert isinstance(x, np.ndarray)
        x, y = (np.concatenate([part] * 3) for part in (x, 3 * y))
        return super().fit(x, y, epochs=epochs + 1, **{"batch_size": 96, **options})


class FitsPart(keras.Sequential):
    """Has no weights until its `fit` chooses the columns, and returns what counts."""

    def fit(self, x: Any, y: Any = None, **options: Any) -> Any:
        history = super().fit(x[:, :2], y, **options)
        return {"val_loss": history.history["val_loss"][0] ** 2}


@pytest.mark.parametrize("size", [None, 16])
def test_a_fit_of_the_model_s_own_trains_as_it_does_when_called(tmp_path: Path, size: int | None) -> None:
    def build_own(hp: Any) -> keras.Model:
        model = FitsMore([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(hp.Choice("learning_rate", RATES)), "mse", run_eagerly=size is not None)
        return model

    grid, ours = both(tmp_path, build_own, {**ARRAYS, "shuffle": False, **({"batch_size": size} if size else {})})
    assert_same(grid, ours)
    assert ours.sensitivity().engine == ("rebuild" if size else "reuse")
    assert set(ours.sensitivity().frame["batch_size"]) == {size or 96}


def test_a_fit_of_the_model_s_own_may_build_it_and_return_what_counts(tmp_path: Path) -> None:
    def build_own(hp: Any) -> keras.Model:
        model = FitsPart([keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(hp.Choice("learning_rate", RATES)), "mse", run_eagerly=True)
        return model

    grid, ours = both(tmp_path, build_own, {**ARRAYS, "shuffle": False, "validation_data": (X[:, :2], Y)})
    assert_same(grid, ours)
    assert ours.sensitivity().engine == "rebuild"


def test_a_fit_of_the_model_s_own_may_return_the_model(tmp_path: Path) -> None:
    class Estimator(keras.Sequential):
        def fit(self, features: Any, targets: Any = None, epochs: int = 1, callbacks: Any = None) -> Any:
            super().fit(
                features, targets, epochs=epochs, callbacks=callbacks, validation_data=(X, Y), shuffle=False, verbose=0
            )
            return self

    def build_own(learning_rate: float) -> keras.Model:
        model = Estimator([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(learning_rate), "mse", run_eagerly=True)
        return model

    tuner = LogGridSearch(build_own, "loss", learning_rates=[0.1], repeats=1, extend=False, directory=tmp_path)
    tuner.search(X, Y, epochs=2)
    frame = tuner.sensitivity().frame
    plain = build_own(0.1)
    history = keras.Sequential.fit(plain, X, Y, epochs=2, validation_data=(X, Y), shuffle=False, verbose=0).history
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(frame[name], history[name], rtol=1e-6)


def test_without_an_objective_something_must_return_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"`objective` may be None only if .* returns the number to"):
        small_search(classifier(), tmp_path, objective=None)
    tuner = small_search(fitting(lambda hp, model, *args, **kwargs: None), tmp_path, objective=None)
    with pytest.raises(InvalidArgumentError, match=r"`HyperModel.fit` must return the objective as a number.*None"):
        tuner.search(**ARRAYS, verbose=0)


@pytest.mark.parametrize(
    "run_trial",
    [
        lambda self, inherited, trial, *args, **kwargs: best_is_the_middle(rate_of(trial)),
        lambda self, inherited, trial, *args, **kwargs: [best_is_the_middle(rate_of(trial)), 3.0],
        lambda self, inherited, trial, *args, **kwargs: (
            inherited(trial, *args, **{**kwargs, "epochs": 1}),
            {"val_loss": best_is_the_middle(rate_of(trial))},
        )[1],
        lambda self, inherited, trial, *args, **kwargs: (
            self.oracle.update_trial(trial.trial_id, {"val_loss": best_is_the_middle(rate_of(trial))}),
            None,
        )[1],
        lambda self, inherited, trial, *args, **kwargs: self.hypermodel.build(trial.hyperparameters).fit(
            *args, **kwargs
        ),
        lambda self, inherited, trial, *args, **kwargs: [
            max(history.history["val_loss"]) for history in inherited(trial, *args, **{**kwargs, "batch_size": 32})
        ],
    ],
    ids=["number", "list", "inherited, then another", "reported", "history", "inherited histories"],
)
def test_what_run_trial_returns_decides(tmp_path: Path, run_trial: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert_same(*both(tmp_path, build, {**ARRAYS, "batch_size": 32}, run_trial=run_trial))


def test_run_trial_may_change_the_arguments(tmp_path: Path) -> None:
    def run_trial(self: Any, inherited: Any, trial: Any, *args: Any, **kwargs: Any) -> Any:
        size = trial.hyperparameters.Fixed("batch_size", 32)
        return inherited(trial, *args, **{**kwargs, "batch_size": size, "epochs": 3})

    grid, ours = both(tmp_path, build, ARRAYS, run_trial=run_trial)
    assert_same(grid, ours)
    frame = ours.sensitivity().frame
    assert (frame["batch_size"].unique().tolist(), frame.groupby("learning_rate").size().tolist()) == ([32], [3, 3, 3])
    assert ours.get_best_hyperparameters()[0].get("batch_size") == 32


def test_run_trial_needs_no_hypermodel(tmp_path: Path) -> None:
    tuner = overriding(
        LogGridSearch, run_trial=lambda self, inherited, trial, verbose: best_is_the_middle(rate_of(trial))
    )(None, None, learning_rates=RATES, extend=False, directory=tmp_path)
    tuner.search(verbose=0)
    assert tuner.get_best_hyperparameters()[0].get("learning_rate") == 1e-2
    with pytest.raises(InvalidArgumentError, match="`hypermodel` must be a function"):
        LogGridSearch(None, directory=tmp_path)


def test_a_run_trial_that_fails_once_is_a_failed_trial(tmp_path: Path) -> None:
    def run_trial(self: Any, inherited: Any, trial: Any, *args: Any, **kwargs: Any) -> float:
        if rate_of(trial) == 1e-2:
            raise ArithmeticError("not this rate")
        return rate_of(trial)

    grid, ours = both(tmp_path, build, ARRAYS, run_trial=run_trial)
    assert_same(grid, ours)
    status = {rate_of(trial): trial.status for trial in ours.oracle.trials.values()}
    assert status == {rate_of(trial): trial.status for trial in grid.oracle.trials.values()}
    assert (status[1e-2], ours.oracle.trials["lr0.01"].message) == ("FAILED", "ArithmeticError: not this rate")


def test_a_run_trial_that_returns_nothing_is_refused(tmp_path: Path) -> None:
    kind = overriding(LogGridSearch, run_trial=lambda self, inherited, trial, *args, **kwargs: None)
    with pytest.raises(InvalidArgumentError, match=r"`run_trial` must return the objective .* Received: None"):
        kind(build, directory=tmp_path, learning_rates=RATES).search(**ARRAYS, verbose=0)


HOOKS = (
    *("on_search_begin", "on_search_end", "on_trial_begin", "on_trial_end", "pre_create_trial"),
    *("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end"),
)


def test_the_methods_of_a_subclass_are_called_as_by_keras_tuner(tmp_path: Path) -> None:
    calls: dict[Any, list[Any]] = {}

    def recording(name: str) -> Any:
        def call(self: Any, inherited: Any, *args: Any, **kwargs: Any) -> None:
            given = [sorted(one) if isinstance(one, dict) else one for one in args if isinstance(one, (int, dict))]
            trial = [rate_of(args[0])] if name.startswith(("on_trial", "on_epoch", "on_batch")) else []
            calls.setdefault(self, []).append((name, *trial, *given))
            inherited(*args, **kwargs)

        return call

    arguments = {**ARRAYS, "epochs": 1, "batch_size": 32}
    grid, ours = both(
        tmp_path, lambda hp: build(hp, eager=False), arguments, **{name: recording(name) for name in HOOKS}
    )
    assert calls[ours] == calls[grid]
    assert ours.sensitivity().engine_reason == (
        "the tuner has its own `on_batch_begin`, `on_batch_end`, `on_epoch_begin`, `on_epoch_end`"
    )


def test_what_on_epoch_end_decides_and_reports_counts(tmp_path: Path) -> None:
    def stop(self: Any, inherited: Any, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        model.stop_training = True

    def report(self: Any, inherited: Any, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        self.oracle.update_trial(trial.trial_id, {"val_loss": best_is_the_middle(rate_of(trial))}, step=epoch)

    grid, ours = both(tmp_path / "stop", build, {**ARRAYS, "batch_size": 32}, on_epoch_end=stop)
    assert_same(grid, ours)
    assert len(ours.sensitivity().frame) == len(RATES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert_same(*both(tmp_path / "report", build, ARRAYS, on_epoch_end=report))


def test_a_trial_ends_although_its_last_method_calls_nothing(tmp_path: Path) -> None:
    tuner = overriding(LogGridSearch, on_trial_end=lambda self, inherited, trial: None)
    ours = tuner(build, learning_rates=RATES, repeats=1, extend=False, directory=tmp_path)
    ours.search(**ARRAYS, verbose=0)
    assert len(scores(ours)) == len(RATES)


def test_load_model_may_be_overridden(tmp_path: Path) -> None:
    kind = overriding(LogGridSearch, load_model=lambda self, inherited, trial: (rate_of(trial), inherited(trial)))
    tuner = kind(build, learning_rates=RATES, repeats=1, extend=False, directory=tmp_path)
    tuner.search(**ARRAYS, verbose=0)
    rate, model = tuner.get_best_models()[0]
    assert rate == tuner.sensitivity().best_learning_rate
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(tuner.sensitivity().frame["val_loss"].min(), rel=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "get_state",
        "set_state",
        "_build_and_fit_model",
        "_run_and_update_trial",
        "_try_build",
        "_try_run_and_update_trial",
    ],
)
def test_what_would_never_be_called_is_refused_by_name(tmp_path: Path, name: str) -> None:
    kind = overriding(LogGridSearch, **{name: lambda self, inherited, *args, **kwargs: None})
    with pytest.raises(InvalidArgumentError, match=f"`LogGridSearch` never calls `{name}`, which Mine overrides"):
        kind(build, directory=tmp_path).search(**ARRAYS, verbose=0)


@pytest.mark.parametrize("failing", [1e-2, 1e-1])
def test_a_rate_at_which_build_fails_is_a_failed_trial(tmp_path: Path, failing: float) -> None:
    def fragile(hp: Any) -> keras.Model:
        if hp.Choice("learning_rate", RATES) == failing:
            raise ValueError("no model at this rate")
        return build(hp)

    grid, ours = both(tmp_path, fragile, {**ARRAYS, "batch_size": 32})
    assert_same(grid, ours)
    status = {rate_of(trial): trial.status for trial in ours.oracle.trials.values()}
    assert status == {rate_of(trial): trial.status for trial in grid.oracle.trials.values()}
    frame = ours.sensitivity().frame
    assert frame[frame["learning_rate"] == failing]["status"].tolist() == ["failed"]


def test_a_build_that_fails_at_the_first_rate_alone_is_searched(tmp_path: Path) -> None:
    def fragile(learning_rate: float) -> keras.Model:
        if learning_rate == RATES[0]:
            raise ValueError("no model at this rate")
        return classifier()()

    frame = run_small(small_search(fragile, tmp_path, repeats=1, learning_rates=RATES), epochs=1)
    assert frame["status"].tolist() == ["failed", "ok", "ok"]

    def hopeless(learning_rate: float) -> keras.Model:
        raise ValueError("no model at any rate")

    with pytest.raises(ValueError, match="no model at any rate"):
        small_search(hopeless, tmp_path / "hopeless")


def test_the_size_of_the_model_is_limited(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(classifier(), tmp_path, max_model_size=66)
    with pytest.raises(InvalidArgumentError, match="`max_model_size` is 66, but `hypermodel` builds a model with 67"):
        tuner.search(x, y, validation_data=validation, verbose=0)
    run_small(small_search(classifier(), tmp_path, max_model_size=67, repeats=1), epochs=1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("max_trials", "It trains every rate of the grid"),
        ("max_retries_per_trial", "A run that fails is recorded with its error"),
        ("max_consecutive_failed_trials", "The search goes on after a run that fails"),
        ("tune_new_entries", "other hyperparameters keep the values of `hyperparameters`"),
        ("batch_size", r"Pass `batch_size` to `search`, or search over several sizes with `batch_sizes`\."),
        ("epochs", "Pass `epochs` to `search`"),
        ("validation_data", "Pass `validation_data` to `search`"),
        ("learning_rate", r"Did you mean `learning_rates`\?"),
        ("num_points", r"Did you mean `points_per_decade`\?"),
        ("repeat", r"Did you mean `repeats`\?"),
        ("max_learning_rate", r"Did you mean `max_lr`\?"),
    ],
)
def test_an_argument_of_another_tuner_gets_the_sentence_that_helps(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(UnknownArgumentError, match=rf"`LogGridSearch` has no argument `{name}`\. .*{sentence}"):
        small_search(classifier(), tmp_path, **{name: 2})


def test_the_optimizer_of_the_tuner_replaces_the_compiled_one_and_nothing_else(tmp_path: Path) -> None:
    def weighted() -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile("sgd", "mse", metrics=["mae"], loss_weights=3.0)
        return model

    tuner = small_search(weighted, tmp_path, objective="loss", repeats=1, optimizer="adam")
    tuner.search(X, Y, epochs=1, batch_size=32, verbose=0)
    result = tuner.sensitivity()
    assert (result.engine, result.engine_reason) == ("stacked", "")
    # The only step begins at zero weights.
    assert result.frame["loss"].tolist() == pytest.approx([3 * float(np.mean(Y**2))] * 2)
    assert result.frame["mae"].tolist() == pytest.approx([float(np.mean(np.abs(Y)))] * 2)
    assert isinstance(tuner.get_best_models()[0].optimizer, keras.optimizers.Adam)


def test_the_name_of_the_tuner_names_its_journal(tmp_path: Path) -> None:
    run_small(small_search(classifier(), tmp_path, tuner_id="mine", repeats=1), epochs=1)
    assert [path.name for path in (tmp_path / "lr" / "records").iterdir()] == ["mine.jsonl"]
    with pytest.raises(InvalidArgumentError, match=r"`tuner_id` must consist of letters, digits.*Received: 'a/b'"):
        small_search(classifier(), tmp_path, tuner_id="a/b")


def test_a_logger_is_ignored_with_keras_tuner_s_warning(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="`logger` argument"):
        small_search(classifier(), tmp_path, logger=object())
