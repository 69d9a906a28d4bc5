"""The trainings of a search: one for each learning rate, repeat and batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A point of the grid, trained in several repeats."""

    learning_rate: float
    batch_size: int


@dataclass(frozen=True, order=True)
class Run:
    """One training.

    Attributes:
        learning_rate: Dimensionless, positive.
        batch_size: Samples a step.
        repeat: Number of the repeat, from 0.
        seed: Seed of the weights and of the data's order; the same at every learning rate and batch size.
    """

    learning_rate: float
    batch_size: int
    repeat: int
    seed: int

    @property
    def point(self) -> Point:
        """The point of the grid that this run repeats."""
        return Point(self.learning_rate, self.batch_size)

    @property
    def key(self) -> tuple[float, int, int]:
        """Learning rate, repeat and batch size, as the records are keyed."""
        return self.learning_rate, self.repeat, self.batch_size


def middle_first(runs: Sequence[Run]) -> list[Run]:
    """The runs from the middle of their rates outwards, so that those which end early have something to lose to."""
    rates = sorted({run.learning_rate for run in runs})
    rank = {rate: abs(place - len(rates) / 2) for place, rate in enumerate(rates)}
    return sorted(runs, key=lambda run: (rank[run.learning_rate], -run.learning_rate, run.batch_size, run.repeat))


def runs_of(point: Point, *, repeats: int, seed: int) -> list[Run]:
    """The runs of a point, whose seeds count up from `seed`."""
    return [Run(point.learning_rate, point.batch_size, repeat, seed + repeat) for repeat in range(repeats)]
