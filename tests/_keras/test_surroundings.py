"""The environment, the warnings and the random states of the process, as they were."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lr._keras.reader_state import global_random_values, same_values
from keras_lr._keras.snapshot import RandomState, eager_seeds_of_its_own
from keras_lr._keras.surroundings import Surroundings

DRAWS: dict[str, Callable[[], Any]] = {
    "python": random.random,
    "numpy": np.random.rand,
    "tensorflow": lambda: float(tf.random.uniform(())),
    "keras": lambda: float(keras.random.uniform(())),
    "tensorflow's generator": lambda: float(tf.random.get_global_generator().uniform(())),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(5)
    tf.random.get_global_generator().reset_from_seed(6)


@pytest.mark.parametrize("name", DRAWS)
def test_a_random_state_repeats_its_draws(name: str) -> None:
    DRAWS[name]()
    state = RandomState()
    expected = [DRAWS[name]() for _ in range(3)]
    state.restore(restart_operations=True)
    assert [DRAWS[name]() for _ in range(3)] == expected


@pytest.mark.parametrize("seed", [None, 7], ids=["seeded by the global seed", "seeded by the caller"])
@pytest.mark.parametrize("global_seed", [3, None])
def test_eager_operations_in_the_block_move_none_outside_of_it(seed: int | None, global_seed: int | None) -> None:
    def draw() -> float:
        return float(tf.random.uniform((), seed=seed))

    if global_seed is None and seed is None:
        return

    def start() -> None:
        tf.random.set_seed(global_seed)
        if seed is not None:
            draw()

    start()
    expected = [draw() for _ in range(3)]
    start()
    with eager_seeds_of_its_own():
        inside = [draw() for _ in range(3)]
    assert [draw() for _ in range(3)] == expected
    assert inside != expected


def test_seeds_that_are_set_in_between_are_forgotten() -> None:
    before = global_random_values()
    surroundings = Surroundings()
    keras.utils.set_random_seed(99)
    surroundings.restore()
    assert same_values(global_random_values(), before)
    keras.utils.set_random_seed(5)
    expected = float(tf.random.uniform(()))
    keras.utils.set_random_seed(5)
    surroundings = Surroundings()
    with eager_seeds_of_its_own():
        tf.random.set_seed(99)
    surroundings.restore()
    assert float(tf.random.uniform(())) == expected


def test_the_environment_is_restored(monkeypatch: Any) -> None:
    monkeypatch.setenv("KERAS_LR_KEPT", "old")
    surroundings = Surroundings()
    os.environ["KERAS_LR_KEPT"] = "new"
    os.environ["KERAS_LR_ADDED"] = "1"
    surroundings.restore()
    assert os.environ["KERAS_LR_KEPT"] == "old"
    assert "KERAS_LR_ADDED" not in os.environ


def complain() -> None:
    warnings.warn("the disk is slow", UserWarning, stacklevel=1)


def test_a_warning_shown_in_between_is_shown_again_and_one_shown_before_is_not() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        surroundings = Surroundings()
        complain()
        complain()
        surroundings.restore()
        assert len(shown) == 1
        complain()
        complain()
        assert len(shown) == 2
        surroundings = Surroundings()
        complain()
        surroundings.restore()
        complain()
        assert len(shown) == 2


def test_filters_and_the_display_of_warnings_are_restored() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        filters, show = list(warnings.filters), warnings.showwarning
        surroundings = Surroundings()
        warnings.simplefilter("ignore")
        complain()
        surroundings.restore()
        assert list(warnings.filters) == filters
        assert warnings.showwarning is show
        complain()
        assert len(shown) == 1
