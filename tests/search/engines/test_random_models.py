"""Every engine that trains a random model gives what plain `fit` gives, or says why it does not train it.

A few models by default. `KERAS_LR_FUZZ_EXAMPLES=300 pytest -n 0 tests/search/engines/test_random_models.py` takes about
half an hour; `KERAS_LR_FUZZ_FIRST` is the number of the first model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_lr.results._sensitivity import EngineName
from keras_lr.search import LogGridSearch
from tests.search.engines.random_models import Task, plain_fit, random_task

EXAMPLES = int(os.environ.get("KERAS_LR_FUZZ_EXAMPLES", "0"))
FIRST = int(os.environ.get("KERAS_LR_FUZZ_FIRST", "0"))
CHOSEN = [2, 14]
TOLERANCE = 1e-4
SEED = 1


def searched(task: Task, directory: Path, engine: EngineName) -> Any:
    """A search over two rates, of which the second is the task's, with the seed of plain `fit`."""
    rates = [0.5 * task.learning_rate, task.learning_rate]
    tuner = LogGridSearch(
        task.build, "loss", learning_rates=rates, repeats=1, seed=SEED, extend=False, engine=engine, directory=directory
    )
    tuner.search(**task.search_arguments())
    return tuner.sensitivity()


def assert_same(found: pd.DataFrame, plain: pd.DataFrame, task: Task, engine: str) -> None:
    run = found[found["learning_rate"] == found["learning_rate"].max()].set_index("epoch")
    what = f"{engine}: {', '.join(task.words)}"
    for name in plain.columns:
        # A metric that counts may take one sample for another class.
        loose = 0.0 if name.endswith("loss") else 1.5 / 9
        np.testing.assert_allclose(run[name], plain[name], rtol=TOLERANCE, atol=loose, err_msg=f"{name}, {what}")


def engines(number: int) -> list[EngineName]:
    """The engines to ask for; those that call `fit` only at some of the numbers."""
    return ["stacked", "function", *(["reuse"] if number % 5 == 0 else []), *(["rebuild"] if number % 15 == 0 else [])]


@pytest.mark.parametrize("number", range(FIRST, FIRST + EXAMPLES) if EXAMPLES else CHOSEN)
def test_each_engine_gives_the_losses_of_plain_fit(tmp_path: Path, number: int) -> None:
    task = random_task(number)
    plain = plain_fit(task, learning_rate=task.learning_rate, seed=SEED)
    assert len(plain) == 2
    known = set()
    for engine in engines(number):
        if engine in known:
            continue
        result = searched(task, tmp_path / engine, engine)
        known |= {engine, result.engine}
        assert result.engine == engine or result.engine_reason
        assert "one run at a time" not in result.engine_reason
        print(f"\n{number} {engine} -> {result.engine} ({result.engine_reason}): {', '.join(task.words)}")
        assert_same(result.frame, plain, task, result.engine)
