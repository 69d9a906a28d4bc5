"""Records with plausible numbers, for what shows results."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_lr.results import RangeTestResult, Suggestion


def make_range_test(*, repeats: int = 1, num_steps: int = 100, **changes: Any) -> RangeTestResult:
    """A range test of a small classifier: flat, falling from 1e-4 on, diverging at 0.1."""
    rates = np.geomspace(1e-7, 10, num_steps)
    decades = np.log10(rates)
    ideal = 2.3 - 1.7 / (1 + np.exp(-3 * (decades + 2.7))) + 20 / (1 + np.exp(-6 * (decades - 0.2)))
    noise = np.random.default_rng(0).normal(scale=0.05, size=(repeats, num_steps))
    curves = ideal + noise
    fields: dict[str, Any] = {
        "learning_rates": rates,
        "losses": np.median(curves, axis=0),
        "suggestion": Suggestion(3.2e-3, 1e-3, 2.5e-2, "clear", "The landmarks agree within 0.3 decades.", "consensus"),
        "stop_reason": "completed",
        "stop_detail": "The sweep reached the end of its range.",
        "num_steps": num_steps,
        "repeat_losses": curves,
        "constant_loss": 2.3,
        "environment": {"optimizer": "Adam", "batch_size": 32, "tensorflow": "2.21.0", "gpus": [], "seed": 0},
    }
    return RangeTestResult(**(fields | changes))
