"""The search examples run offline and print what they promise."""

import re

import pytest

import keras_lr
from tests.examples.test_scripts import run_example

pytestmark = pytest.mark.slow


def test_grid_search(tmp_path):
    printed = run_example("grid_search.py", tmp_path)
    assert re.search(r"^learning rate 0\.0\d+, equally good from ", printed, re.MULTILINE)
    assert "trained by: stacked" in printed
    assert " 10 epochs: " in printed
    assert (tmp_path / "grid_search.png").stat().st_size > 10_000
    assert (tmp_path / "grid_search.html").stat().st_size < 300_000


def test_batch_size_vs_learning_rate(tmp_path):
    printed = run_example("batch_size_vs_learning_rate.py", tmp_path)
    best = [float(rate) for rate in re.findall(r"^batch size \d+: learning rate ([^,]+),", printed, re.MULTILINE)]
    assert len(best) == 3
    assert best[0] <= best[1] <= best[2]
    assert best[0] < best[2]
    assert (tmp_path / "batch_size.png").stat().st_size > 10_000


def test_distributed_search(tmp_path):
    printed = run_example("distributed_search.py", tmp_path)
    assert "learning_rate=" in printed
    assert re.search(r"^Trained by: .* on 2 workers$", printed, re.MULTILINE)
    result = keras_lr.SensitivityResult.load(tmp_path / "distributed_search.json")
    assert len(result.frame) == 5 * 3 * 10
