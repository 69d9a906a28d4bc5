"""A search over learning rates as it comes out, for the tests of what judges, draws and reports it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_lr.results._sensitivity import SensitivityResult

UNTRAINED_LOSS = 2.3


def sensitivity_frame(
    learning_rates: Sequence[float] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    *,
    repeats: int = 3,
    epochs: int = 10,
    batch_sizes: Sequence[int] = (32,),
    best: float = 3e-3,
    noise: float = 0.02,
    diverges_above: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """Runs of a classifier whose best rate is `best` at batch size 32 and grows with its square root.

    A rate above `diverges_above` gives NaN at its second epoch.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for batch_size in batch_sizes:
        centre = np.log10(best * np.sqrt(batch_size / 32))
        for rate in learning_rates:
            for repeat in range(repeats):
                luck = noise * generator.normal()
                for epoch in range(epochs):
                    diverged = rate > diverges_above and epoch == 1
                    fall = np.exp(-0.7 * (np.log10(rate) - centre) ** 2) * (1 - np.exp(-(epoch + 1) / 4))
                    loss = np.nan if diverged else UNTRAINED_LOSS * (1 - 0.95 * fall) * (1 + luck)
                    rows.append(
                        {
                            "learning_rate": rate,
                            "repeat": repeat,
                            "batch_size": batch_size,
                            "epoch": epoch,
                            "seed": repeat,
                            "loss": loss,
                            "val_loss": loss * 1.1,
                            "accuracy": np.nan if diverged else 0.1 + 0.88 * fall,
                            "val_accuracy": np.nan if diverged else 0.1 + 0.85 * fall,
                            "status": "diverged" if diverged else "ok",
                        }
                    )
                    if diverged:
                        break
    return pd.DataFrame(rows)


def sensitivity_result(frame: pd.DataFrame | None = None) -> SensitivityResult:
    """The result of a search over six rates and three repeats, one rate diverged."""
    return SensitivityResult(
        frame=sensitivity_frame() if frame is None else frame,
        objective="val_loss",
        direction="min",
        best_learning_rate=1e-3,
        low=1e-3,
        high=1e-2,
        at_edge=False,
        confidence="clear",
        reason="Of 6 learning rates x 3 repeats, 1e-3 gave the lowest val_loss (0.66).",
        engine="stacked",
        best_batch_size=32,
        environment={"optimizer": "Adam", "tensorflow": "2.21.0", "keras": "3.15.1", "gpus": []},
        lr_sensitivity=0.52,
    )
