"""Twins: copies of a run that begin with weights changed in the last bit, and so show whether its rate is chaotic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

DEPARTED = 1e-4
"""Relative difference of two losses above which a twin has departed from its run. On stable rates the losses of twins
stay within 1e-5; on chaotic ones the difference grows by a factor per step and soon passes any threshold."""
_JUDGED = ("loss", "val_loss")


class Twins:
    """Compares runs with their twins, epoch by epoch.

    A metric that counts, such as the accuracy, is not compared: on a stable rate too, one sample may change its class.

    Args:
        places: Place of each run that has a twin, and the place of the twin.
    """

    def __init__(self, places: Mapping[int, int]) -> None:
        self._places = dict(places)
        self._first: dict[str, np.ndarray] = {}

    def departed(self, logs: Mapping[str, np.ndarray], alive: Collection[int]) -> list[int]:
        """Places of the runs whose twins depart with this epoch; each run is named once.

        Args:
            logs: What Keras would log, each value of shape `(copies,)`.
            alive: Places of the runs that have not ended.
        """
        judged = {name: values for name, values in logs.items() if name in _JUDGED}
        self._first = self._first or {name: np.abs(values) for name, values in judged.items()}
        found = [
            place
            for place, twin in self._places.items()
            if place in alive
            and any(_apart(values[place], values[twin], self._first[name][place]) for name, values in judged.items())
        ]
        self._places = {place: twin for place, twin in self._places.items() if place not in found}
        return found


def with_last_bit_changed(values: Sequence[np.ndarray], chosen: Collection[int]) -> list[np.ndarray]:
    """`values` with each number of the arrays at the places `chosen` raised to the next larger one."""
    return [
        np.nextafter(value, np.array(np.inf, value.dtype)) if place in chosen else value
        for place, value in enumerate(values)
    ]


def _apart(value: Any, twin: Any, first: Any) -> bool:
    """Whether two losses differ by more than rounding; `first` is the loss after one epoch.

    A loss that has fallen far consists of differences of large numbers, whose rounding does not fall with it.
    """
    if not (np.isfinite(value) and np.isfinite(twin)):
        return bool(np.isfinite(value) != np.isfinite(twin))
    rounding = float(np.finfo(np.float32).eps) * (first if np.isfinite(first) else 0.0)
    return bool(abs(value - twin) > DEPARTED * max(abs(value), abs(twin)) + rounding)
