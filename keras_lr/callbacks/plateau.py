"""When a monitored value has stopped improving."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras

from keras_lr.errors import InvalidArgumentError


@dataclasses.dataclass
class Plateau:
    """Counts the epochs since a value was last better; lower is better.

    Attributes:
        best: Lowest value so far; None before the first.
        wait: Number of epochs since.
        cooldown: Number of epochs still not to count.
    """

    best: float | None = None
    wait: int = 0
    cooldown: int = 0

    def judge(self, value: float, *, min_delta: float, patience: int) -> bool:
        """Takes the value of an epoch and returns whether `patience` has run out; NaN is no improvement.

        The order of the counts is that of `keras.callbacks.ReduceLROnPlateau`.
        """
        if self.cooldown > 0:
            self.cooldown -= 1
            self.wait = 0
        if self.best is None or value < self.best - min_delta:
            # As the best so far NaN could never be undercut.
            self.best = None if math.isnan(value) else value
            self.wait = 0
        elif self.cooldown == 0:
            self.wait += 1
        return self.wait >= patience

    def begin_cooldown(self, cooldown: int) -> None:
        """Starts to wait anew, after the epochs of the cooldown."""
        self.cooldown, self.wait = cooldown, 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def metric_mode(model: keras.Model, monitor: str) -> str:
    """ "min" or "max", as the metric of that name says of itself; a loss is to be minimized.

    Raises:
        InvalidArgumentError: No metric of the model says so.
    """
    name = monitor.removeprefix("val_")
    if name == "loss" or name.endswith("_loss"):
        return "min"
    for metric in model.metrics:
        for part in getattr(metric, "metrics", None) or [metric]:
            if part.name == name and hasattr(part, "_direction"):
                return "max" if part._direction == "up" else "min"
    raise InvalidArgumentError(
        f'`mode` must be "min" or "max" where the metric does not say which is better. Received: mode="auto", '
        f"monitor={monitor!r}. Pass the mode."
    )
