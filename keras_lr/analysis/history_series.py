"""The common form every source of a training history is brought to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """The series of one run.

    Attributes:
        epochs: Distinct epochs (or steps), increasing, shape `(n,)`, int64.
        loss: Loss to be lowered, shape `(n,)`, float64; the negated metric where only a metric was recorded.
        val_loss: The same on validation data, shape `(n,)`, NaN where not evaluated; None where never.
        learning_rates: Dimensionless, shape `(n,)`; None where not recorded.
        monitor: Name of the series in `loss`.
        unit: What `epochs` counts.
        metric: A metric beside the loss in [0, 1] that grows as the loss falls, such as accuracy, shape `(n,)`; None
            where there is none. It is known by its values, whatever its name.
        val_metric: The same on validation data, shape `(n,)`, NaN where not evaluated; None with it.
    """

    epochs: np.ndarray
    loss: np.ndarray
    val_loss: np.ndarray | None
    learning_rates: np.ndarray | None
    monitor: str
    unit: Literal["epoch", "step"] = "epoch"
    metric: np.ndarray | None = None
    val_metric: np.ndarray | None = None

    @property
    def learning_rate(self) -> float | None:
        """The median of the positive recorded learning rates, None where there is none."""
        if self.learning_rates is None:
            return None
        usable = self.learning_rates[np.isfinite(self.learning_rates) & (self.learning_rates > 0)]
        return float(np.median(usable)) if usable.size else None
