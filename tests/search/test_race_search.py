"""A race on a real model: its runs are those of a grid, whatever the engine, and survive kills, failures and Ctrl-C."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.analysis import Race
from keras_lr.callbacks import MomentumCycle
from keras_lr.errors import InvalidArgumentError, SearchError, UnknownArgumentError
from keras_lr.report import Report
from keras_lr.results import Suggestion
from keras_lr.search import LogGridSearch, RaceSearch
from keras_lr.search._recorder import Recorder
from tests.search.small_search import classifier, iris, run_small

RATES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
EPOCHS = 5


def small_race(directory: Path, build: Any = None, **options: Any) -> RaceSearch:
    options = {"learning_rates": RATES, "budget": 1.5, "engine": "function", **options}
    return RaceSearch(build or classifier(), directory=directory, **options)


def run_race(tuner: RaceSearch, **arguments: Any) -> pd.DataFrame:
    return run_small(tuner, **{"epochs": EPOCHS, **arguments})


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> RaceSearch:
    """A finished race."""
    tuner = small_race(tmp_path_factory.mktemp("race"))
    run_race(tuner)
    return tuner


THREE_RATES = (0.01, 0.1, 1.0)
WITH_STATE = classifier(keras.optimizers.Adam, layers=[lambda: keras.layers.Dropout(0.2)], metrics=["accuracy"])
"""With Adam, whose moments must go on, and dropout, whose random state must."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A grid whose runs do not pause."""
    options: dict[str, Any] = {"learning_rates": THREE_RATES, "repeats": 1, "extend": False, "engine": "function"}
    return run_small(LogGridSearch(WITH_STATE, directory=tmp_path_factory.mktemp("grid"), **options), epochs=EPOCHS)


@pytest.mark.parametrize("engine", ["stacked", "function", "reuse", "rebuild"])
def test_the_runs_are_those_of_a_grid_although_they_pause(engine: str, full: pd.DataFrame, tmp_path: Path):
    race = run_race(small_race(tmp_path, WITH_STATE, engine=engine, learning_rates=THREE_RATES))
    both = race.merge(full, on=["learning_rate", "epoch"], suffixes=("", "_of_grid"))
    assert len(both) == len(race) < len(full)
    for name in ("loss", "val_loss", "accuracy"):
        np.testing.assert_allclose(both[name], both[f"{name}_of_grid"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "reads"),
    [
        ({}, lambda x, y: {"x": tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=1).batch(16)}),
        (
            {"steps_per_epoch": 5},
            lambda x, y: {"x": tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=1).repeat().batch(16)},
        ),
        ({"steps_per_epoch": 5, "batch_size": 16}, lambda x, y: {"x": x, "y": y}),
    ],
    ids=["dataset", "endless dataset", "steps of arrays"],
)
def test_a_paused_fit_goes_on_in_its_data(arguments: dict[str, Any], reads: Callable[..., Any], tmp_path: Path):
    x, y, validation = iris()
    given = {**arguments, "validation_data": validation, "epochs": 4, "verbose": 0}
    race = small_race(tmp_path, learning_rates=(0.01, 0.1), engine="auto")
    race.search(**reads(x, y), **given)
    grid = LogGridSearch(classifier(), learning_rates=(0.01, 0.1), repeats=1, extend=False, directory=tmp_path)
    grid.search(**reads(x, y), **given)
    best = race.sensitivity().best_learning_rate
    raced, full = (
        frame[frame["learning_rate"] == best] for frame in (race.sensitivity().frame, grid.sensitivity().frame)
    )
    assert len(raced) == 4
    np.testing.assert_allclose(raced["loss"], full["loss"], rtol=1e-6)


class Counting(keras.callbacks.Callback):
    """Halves the rate after the second epoch, and counts the beginnings and ends of its training."""

    seen: list[tuple[str, int]] = []  # noqa: RUF012

    def on_train_begin(self, logs: Any = None) -> None:
        self.epochs = 0
        self.seen.append(("begin", self.params["epochs"]))

    def on_train_end(self, logs: Any = None) -> None:
        self.seen.append(("end", self.epochs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1
        assert self.epochs == epoch + 1
        if self.epochs == 2:
            self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)


def test_callbacks_see_one_training_per_run(tmp_path: Path):
    Counting.seen.clear()
    build = classifier(lambda: keras.optimizers.SGD(momentum=0.9))
    options = {"learning_rates": THREE_RATES, "engine": "auto"}
    race = run_race(small_race(tmp_path, build, **options), callbacks=[Counting()])
    lengths = race.groupby("learning_rate").size()
    assert Counting.seen.count(("begin", EPOCHS)) == 3
    assert sorted(epochs for what, epochs in Counting.seen if what == "end") == sorted(lengths)
    grid = LogGridSearch(build, learning_rates=THREE_RATES, repeats=1, extend=False, directory=tmp_path)
    full = run_small(grid, epochs=EPOCHS, callbacks=[Counting()])
    both = race.merge(full, on=["learning_rate", "epoch"], suffixes=("", "_of_grid"))
    np.testing.assert_allclose(both["loss"], both["loss_of_grid"], rtol=1e-6)


def test_the_momentum_goes_on_in_a_cycle_after_a_pause(tmp_path: Path):
    build = classifier(lambda: keras.optimizers.SGD(momentum=0.9))
    cycle = MomentumCycle(0.1, 0.9, rate_range=(1e-3, 2.0))
    race = run_race(small_race(tmp_path, build, learning_rates=THREE_RATES, engine="auto"), callbacks=[cycle])
    grid = LogGridSearch(build, learning_rates=THREE_RATES, repeats=1, extend=False, directory=tmp_path)
    full = run_small(grid, epochs=EPOCHS, callbacks=[cycle])
    both = race.merge(full, on=["learning_rate", "epoch"], suffixes=("", "_of_grid"))
    np.testing.assert_allclose(both["loss"], both["loss_of_grid"], rtol=1e-6)


def test_a_callback_that_ends_a_run_is_obeyed(tmp_path: Path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 2

    tuner = small_race(tmp_path, learning_rates=(0.01, 0.1), engine="auto")
    frame = run_race(tuner, callbacks=[Stop()])
    assert frame.groupby("learning_rate").size().max() == 3
    assert tuner.sensitivity().race["finished"]


def test_the_winner_is_trained_to_the_end_and_can_be_had(raced: RaceSearch):
    """The search follows the decisions of `Race`, which is replayed here on the recorded curves."""
    result, (_, _, validation) = raced.sensitivity(), iris()
    curves = {rate: run["val_loss"].tolist() for rate, run in result.frame.groupby("learning_rate")}
    race = Race(RATES, epochs=EPOCHS, budget=1.5)
    while asked := race.ask():
        for rate, _ in asked:
            race.tell(rate, curves[rate])
    assert {rate: len(values) for rate, values in race.values.items()} == {rate: len(c) for rate, c in curves.items()}
    assert (result.best_learning_rate, result.reason) == (race.best, race.reason)
    assert len(curves[race.best]) == EPOCHS
    assert raced.get_best_hyperparameters()[0].get("learning_rate") == race.best
    best = raced.get_best_models()[0]
    assert best.evaluate(*validation, verbose=0) == pytest.approx(min(curves[race.best]), rel=1e-4)
    assert float(best.optimizer.learning_rate) == pytest.approx(race.best)


def test_the_result_marks_partial_runs_and_says_why(raced: RaceSearch):
    result = raced.sensitivity()
    last = result.frame.groupby("learning_rate").last()
    assert result.race is not None
    dropped = {drop["learning_rate"]: drop for drop in result.race["dropped"]}
    assert set(dropped) == set(last.index) - {result.best_learning_rate}
    for rate, drop in dropped.items():
        assert last.loc[rate, "status"] == ("diverged" if drop["why"] == "diverged" else "pruned")
        assert last.loc[rate, "epoch"] + 1 == drop["epoch"]
    assert result.race["cost"] * EPOCHS == sum(drop["epoch"] for drop in dropped.values())
    assert type(result).from_json(result.to_json()).race == result.race
    assert Report().add(raced.project_dir).to_json() == Report().add(result).to_json()


def test_the_same_call_trains_nothing_again(raced: RaceSearch, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: Any, **more: Any) -> None:
        raise AssertionError("an epoch was trained again")

    before = raced.sensitivity().to_json()
    monkeypatch.setattr(Recorder, "record", refuse)
    again = small_race(Path(raced.directory))
    run_race(again)
    assert again.sensitivity().to_json() == before


@pytest.mark.parametrize("engine", ["function", "stacked"])
def test_a_race_that_was_killed_comes_to_the_same_table(engine: str, tmp_path: Path):
    """A kill leaves some of the journal's lines, and perhaps a part of one."""
    whole = small_race(tmp_path, engine=engine)
    frame = run_race(whole)
    journal = Path(whole.project_dir) / "records" / "tuner0.jsonl"
    text = journal.read_bytes()
    lines = text.splitlines(keepends=True)
    for kept in (3, len(lines) // 2, len(lines) - 1):
        part = b"".join(lines[:kept])
        shutil.rmtree(whole.project_dir)
        journal.parent.mkdir(parents=True)
        journal.write_bytes(part + b'{"learning_ra')
        again = small_race(tmp_path, engine=engine)
        pd.testing.assert_frame_equal(run_race(again), frame, rtol=1e-4)
        assert again.get_best_models()


def test_ctrl_c_leaves_the_best_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    record, calls = Recorder.record, []

    def interrupted(self: Recorder, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return record(self, *arguments)

    tuner = small_race(tmp_path)
    monkeypatch.setattr(Recorder, "record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_race(tuner)
    result = tuner.sensitivity()
    assert not result.race["finished"]
    assert result.confidence == "tentative"
    loss = tuner.get_best_models()[0].evaluate(*iris()[2], verbose=0)
    assert loss == pytest.approx(result.frame["val_loss"].min(), rel=1e-4)
    monkeypatch.setattr(Recorder, "record", record)
    run_race(tuner)
    assert tuner.sensitivity().race["finished"]


def test_a_rate_that_fails_or_diverges_is_data(tmp_path: Path):
    def build(learning_rate: float) -> keras.Model:
        if learning_rate == 1e-2:
            raise ValueError("not at this rate")
        model = classifier(keras.optimizers.SGD)()
        model.optimizer.learning_rate = learning_rate
        return model

    tuner = small_race(tmp_path, build, learning_rates=(1e-2, 0.1, 1e30))
    frame = run_race(tuner)
    assert frame.groupby("learning_rate")["status"].last().to_dict() == {1e-2: "failed", 0.1: "ok", 1e30: "diverged"}
    assert tuner.sensitivity().best_learning_rate == 0.1


def test_without_rates_it_races_around_the_suggestion_of_one_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tuner = small_race(tmp_path, learning_rates=None, budget=0.6)
    run_race(tuner)
    journal = (Path(tuner.project_dir) / "records" / "tuner0.jsonl").read_text()
    event = next(line for line in map(json.loads, journal.splitlines()) if line.get("event") == "race")
    suggested = event["suggestion"]["learning_rate"]
    x, y, _ = iris()
    keras.utils.set_random_seed(0)
    model = classifier()()
    assert suggested == pytest.approx(keras_lr.find_lr(model, x, y, batch_size=16).suggestion.learning_rate, rel=1e-3)
    rates = tuner.sensitivity().learning_rates
    assert rates[0] <= suggested * 10 ** (1 / 6) * 1.001
    assert rates[-1] >= suggested / 10 ** (1 / 6) / 1.001
    monkeypatch.setattr("keras_lr.search._race_search.find_lr", lambda *_, **__: pytest.fail("swept again"))
    run_race(small_race(tmp_path, learning_rates=None, budget=1.2))


def test_a_trained_model_with_an_adaptive_optimizer_races_from_short_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its first comparison is after two epochs."""
    refined = []

    def sweep(_model: Any, *_: Any, refine: bool, **__: Any) -> keras_lr.RangeTestResult:
        refined.append(refine)
        found = Suggestion(0.01, 1e-3, 0.1, "clear", "", "refined")
        curve = (np.geomspace(1e-7, 1, 20), np.full(20, 0.1))
        return keras_lr.RangeTestResult(*curve, found, "completed", "", 20, constant_loss=np.log(3))

    monkeypatch.setattr("keras_lr.search._race_search.find_lr", sweep)
    tuner = small_race(tmp_path, classifier(keras.optimizers.Adam), learning_rates=None, budget=1.0)
    frame = run_race(tuner, epochs=4)
    assert refined == [True]
    assert sorted(frame.groupby("learning_rate").size()) == [2, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_freq": 2}, "`validation_freq` must be 1 in a race"),
        ({"initial_epoch": 1}, "`initial_epoch` must be 0 in a race"),
        ({"validation_data": None}, "without validation data"),
    ],
)
def test_what_a_race_cannot_compare_is_refused(arguments: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(InvalidArgumentError, match=message):
        run_race(small_race(tmp_path), **arguments)


def test_arguments_of_another_search_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InvalidArgumentError, match="`budget`"):
        small_race(tmp_path, budget=-1.0)
    with pytest.raises(UnknownArgumentError, match="`RaceSearch`"):
        small_race(tmp_path, repeats=3)
    with pytest.raises(SearchError, match="No epochs are recorded"):
        small_race(tmp_path).sensitivity()

    class OwnTrial(RaceSearch):
        def run_trial(self, trial: Any, *arguments: Any, **more: Any) -> float:
            return 0.0

    with pytest.raises(InvalidArgumentError, match="Use `LogGridSearch`"):
        run_race(OwnTrial(classifier(), directory=tmp_path))


@pytest.mark.parametrize(("trained", "first"), [(False, 1), (True, 2)])
def test_on_a_dataset_a_model_that_was_trained_before_is_first_compared_after_two_epochs(
    trained: bool, first: int, tmp_path: Path
):
    x, y, validation = iris()
    build = classifier()
    keras.utils.set_random_seed(0)
    model = build()
    if trained:
        model.optimizer.learning_rate = 0.03
        model.fit(x, y, epochs=20, batch_size=16, verbose=0)
    weights = model.get_weights()

    def again() -> keras.Model:
        rebuilt = build()
        rebuilt.set_weights(weights)
        return rebuilt

    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=1).batch(16)
    tuner = RaceSearch(again, directory=tmp_path, engine="function")
    tuner.search(data, validation_data=validation, epochs=EPOCHS, verbose=0)
    race = tuner.sensitivity().race
    assert race is not None
    assert race["comparisons"][0]["epoch"] == first
