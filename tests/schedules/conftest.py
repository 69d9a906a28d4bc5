"""One example of every schedule, and the rates of many steps at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_lr import schedules

EXAMPLES = {
    "one_cycle": lambda: schedules.OneCycle(0.1, 40, warmup_fraction=0.25),
    "one_cycle_three_phase": lambda: schedules.OneCycle(0.1, 40, three_phase=True, shape="linear"),
    "triangular": lambda: schedules.Cyclical(0.01, 0.1, 4, down_steps=6),
    "triangular2": lambda: schedules.Cyclical(0.01, 0.1, 5, mode="triangular2"),
    "exp_range": lambda: schedules.Cyclical(0.01, 0.1, 5, mode="exp_range", gamma=0.97),
    "warmup": lambda: schedules.Warmup(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), 10, shape="cosine"),
    "warmup_stable_decay": lambda: schedules.WarmupStableDecay(
        0.1, 12, warmup_steps=8, stable_steps=10, decay_shape="1-sqrt"
    ),
    "inverse_sqrt": lambda: schedules.InverseSqrt(0.1, 10),
    "noam": lambda: schedules.InverseSqrt.noam(64, 10),
    "polynomial": lambda: schedules.Polynomial(0.1, 30, power=2.0, warmup_steps=5, end_learning_rate=0.001),
    "flat_cosine": lambda: schedules.FlatCosine(0.1, 40),
    "cosine_restarts": lambda: schedules.CosineRestarts(0.1, 5, t_mul=2.0, m_mul=0.7, end_learning_rate=0.001),
    "sequential": lambda: schedules.Sequential(
        [schedules.Warmup(0.1, 5), 0.1, schedules.FlatCosine(0.1, 20)], [10, 20]
    ),
    "resumed": lambda: schedules.Resumed(schedules.OneCycle(0.1, 40), 15),
    "scaled": lambda: schedules.Scaled(keras.optimizers.schedules.InverseTimeDecay(0.1, 10, 0.5), factor=0.5),
}


def rates_of(schedule: Any, steps: Any) -> np.ndarray:
    """The rates of many steps from one eager call; another test compares them with compiled steps."""
    return np.asarray(schedule(np.asarray(steps)), dtype=np.float64)


@pytest.fixture(params=EXAMPLES, ids=list(EXAMPLES))
def schedule(request: pytest.FixtureRequest) -> object:
    """Each schedule in turn."""
    return EXAMPLES[request.param]()
