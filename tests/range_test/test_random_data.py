"""Whatever the data and whatever their reading draws from, a training after a range test is one without it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import keras
import pytest

import keras_lr
from tests.range_test.random_data import Example, random_example, states

EXAMPLES = int(os.environ.get("KERAS_LR_RESTORE_EXAMPLES", "8"))


def model() -> keras.Model:
    built = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    built.compile("sgd", "mse")
    return built


def losses(example: Example, folder: Path, *, way: str = "") -> tuple[list[float], list[str]]:
    """The losses of a training after a range test, and what the test warned of."""
    keras.utils.set_random_seed(11)
    trained = model()
    data, source = example.make(folder)
    before = states(source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if way == "find_lr":
            keras_lr.find_lr(trained, *data, num_steps=20, verbose=0)
        elif way:
            trained.fit(*data, callbacks=[keras_lr.LRRangeTest(num_steps=20, verbose=0)], verbose=0)
    said = [str(one.message) for one in caught if "could not restore everything" in str(one.message)]
    if not said:
        assert states(source) == before
    return trained.fit(*data, epochs=2, verbose=0).history["loss"], said


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_training_after_a_range_test_reads_the_same_data(seed: int, tmp_path: Any) -> None:
    example = random_example(seed)
    plain, _ = losses(example, tmp_path)
    for way in ("find_lr", "LRRangeTest"):
        tested, said = losses(example, tmp_path, way=way)
        assert not said or (way == "LRRangeTest" and example.changes_itself_in_fit), (example.name, way, said)
        if example.is_repeatable and not said:
            assert tested == pytest.approx(plain, rel=1e-6), (example.name, way)
