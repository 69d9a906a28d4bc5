"""Which rates the engines mark as chaotic, against maps whose chaos is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_lr.results._search_records import Journal, Run, Table
from keras_lr.results._sensitivity import EngineName
from keras_lr.search import LogGridSearch
from keras_lr.search._engines.twins import EdgeSearch, SecondTraining
from keras_lr.search._recorder import Recorder

EPOCHS = 60
START = 0.3
RATES = [1.0, 2.0, 2.8, 3.7, 3.9, 4.0]
"""Of the logistic map x -> r x (1 - x): it settles up to 3 and is chaotic at the last three."""


def logistic(rate: float, start: float, steps: int = EPOCHS) -> list[float]:
    values = [start]
    for _ in range(steps):
        values.append(rate * values[-1] * (1 - values[-1]))
    return values[1:]


def recorder(tmp_path: Path, curves: Mapping[float, list[float]]) -> Recorder:
    made = Recorder(
        Table(),
        Journal(tmp_path / "rows.jsonl", {}),
        epochs=EPOCHS,
        objective="loss",
        direction="min",
        pruning=False,
        save_best=lambda point, weights: None,
    )
    for rate, values in curves.items():
        for epoch, value in enumerate(values):
            made.record(epoch, {Run(rate, 32, 0, 0): {"loss": value}}, None)
    return made


def second_training(trained: list[tuple[float, int]]) -> Any:
    def train(run: Run, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        for epoch, value in enumerate(logistic(run.learning_rate, START * (1 + 1e-7)), start=1):
            if settles({"loss": value}):
                trained.append((run.learning_rate, epoch))
                break

    return train


def test_the_chaotic_rates_are_those_above_the_first_stable_one(tmp_path: Path) -> None:
    made = recorder(tmp_path, {rate: logistic(rate, START) for rate in RATES})
    trained: list[tuple[float, int]] = []
    edge = EdgeSearch()
    edge.watch(made, [], second_training(trained))
    frame = made.table.frame()
    assert frame.loc[frame["chaotic"], "learning_rate"].unique().tolist() == RATES[3:]
    assert [rate for rate, _ in trained] == [4.0, 3.9, 3.7, 2.8]
    assert sum(epochs for _, epochs in trained[:-1]) < 3 * EPOCHS / 2
    assert trained[-1][1] == EPOCHS // 3
    edge.watch(made, [], second_training(trained))
    assert len(trained) == 4


def test_a_twin_that_differs_by_rounding_is_given_up_after_a_third_of_the_epochs() -> None:
    twin = SecondTraining([{"loss": 1.0 + 0.1**epoch} for epoch in range(12)])
    settled = [twin.settles({"loss": (1.0 + 0.1**epoch) * (1 + 1e-7)}) for epoch in range(4)]
    assert settled == [False] * 3 + [True]
    assert twin.stable
    assert twin.departed is None


def test_a_twin_whose_difference_grows_toward_departure_trains_on() -> None:
    growth = 1000 ** (1.3 / 12)
    twin = SecondTraining([{"loss": 1.0}] * 12)
    settled = [twin.settles({"loss": 1.0 + 1e-7 * growth**epoch}) for epoch in range(1, 11)]
    assert settled == [False] * 9 + [True]
    assert (twin.departed, twin.stable) == (9, False)


def test_a_twin_that_has_trained_as_long_as_it_may_is_not_called_stable() -> None:
    twin = SecondTraining([{"loss": 1.0}] * 12, most=3)
    assert [twin.settles({"loss": 1.0}) for _ in range(3)] == [False, False, True]
    assert not twin.stable


def test_a_twin_that_stays_finite_where_the_run_did_not_has_departed() -> None:
    twin = SecondTraining([{"loss": 2.0}, {"loss": 1.0 + 1e-5}, {"loss": np.nan}])
    assert [twin.settles({"loss": loss}) for loss in (2.0, 1.0, 0.5)] == [False, False, True]
    assert twin.departed == 2


def cubic(engine: EngineName, directory: Path) -> LogGridSearch:
    """Descends w^3 / 3 - w^2 / 2, whose steps w + rate * w * (1 - w) are a map that is chaotic above 2.57."""

    def build() -> keras.Model:
        weight = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(0.37))
        model = keras.Sequential([keras.Input((1,)), weight])
        model.compile(keras.optimizers.SGD(), lambda y, w: w**3 / 3 - w**2 / 2 + 1 + 0 * y)
        return model

    tuner = LogGridSearch(
        build, "loss", learning_rates=[0.1, 2.9], repeats=1, extend=False, engine=engine, directory=directory
    )
    tuner.search(np.ones((40, 1), "float32"), np.linspace(0, 1, 40, dtype="float32"), epochs=6, batch_size=1, verbose=0)
    return tuner


@pytest.mark.parametrize("engine", ["stacked", "function", "reuse", "rebuild"])
def test_every_engine_marks_a_chaotic_descent(tmp_path: Path, engine: EngineName) -> None:
    result = cubic(engine, tmp_path).sensitivity()
    assert result.engine == engine
    assert result.chaotic_learning_rates.tolist() == [2.9]
