"""A private part that only the stacked engine needs may vanish: the search then says so and trains another way."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from keras.src.optimizers.base_optimizer import BaseOptimizer
from tensorflow.python.ops import parallel_for
from tensorflow.python.ops.parallel_for import pfor

from keras_lr._keras import stateless
from tests.fresh_process import run_fresh

SEARCH = """
import sys
{deletion}
import keras
import numpy as np
from keras_lr import LogGridSearch



def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(), "mse")
    return model


x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
search = LogGridSearch(build, "loss", 1e-3, 1e-1, repeats=2, extend=False, directory=sys.argv[1])
search.search(x, x[:, :1], epochs=2, verbose=0)
result = search.sensitivity()
print(len(result.learning_rates), result.engine, result.engine_reason, sep="|")
"""


@pytest.mark.parametrize(
    ("deletion", "reason"),
    [
        (
            "from keras.src.optimizers.base_optimizer import BaseOptimizer; del BaseOptimizer._var_key",
            f"stacked is not available: keras {keras.__version__} has no `BaseOptimizer._var_key`",
        ),
        (
            "from tensorflow.python.ops.parallel_for import pfor; del pfor._pfor_converter_registry",
            f"stacked is not available: tensorflow {tf.__version__} has no `pfor._pfor_converter_registry`",
        ),
    ],
    ids=["optimizer method", "pfor registry"],
)
def test_a_search_names_what_is_missing_and_uses_the_next_engine(deletion: str, reason: str, tmp_path: Path) -> None:
    script = SEARCH.format(deletion=deletion)
    done = run_fresh("-c", script, tmp_path)
    assert done.stdout.strip() == f"3|function|{reason}", done.stderr


@pytest.mark.parametrize("name", stateless._METHODS)
def test_each_method_of_the_optimizer_is_looked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(BaseOptimizer, name)
    assert stateless.stacking_unavailable() == f"keras {keras.__version__} has no `BaseOptimizer.{name}`"


@pytest.mark.parametrize("name", stateless._PFOR_PARTS)
def test_each_part_of_pfor_is_looked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pfor, name)
    assert stateless.stacking_unavailable() == f"tensorflow {tf.__version__} has no `pfor.{name}`"


def test_a_module_that_has_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(parallel_for, "pfor", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow.python.ops.parallel_for.pfor", None)
    reason = "import of tensorflow.python.ops.parallel_for.pfor halted; None in sys.modules"
    assert stateless.stacking_unavailable() == reason


def test_nothing_is_missing_here() -> None:
    assert stateless.stacking_unavailable() is None
