"""What a range test's short runs at constant rates measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from keras_lr.records.base import Record, float_array
from keras_lr.records.suggestion import Suggestion


@dataclass(frozen=True, eq=False)
class Refinement(Record):
    """Short runs near a suggestion, each at one rate and from the same start, and what the sweep alone had said.

    Attributes:
        learning_rates: Rate of each run, increasing, dimensionless, shape `(n_runs,)`.
        losses: Loss of each step of each run, shape `(n_runs, n_steps)`, NaN after a run stopped.
        sweep_suggestion: The suggestion before the runs.
    """

    kind: ClassVar[str] = "refinement"

    learning_rates: np.ndarray
    losses: np.ndarray
    sweep_suggestion: Suggestion

    def __post_init__(self) -> None:
        if np.ndim(self.losses) != 2 or np.shape(self.learning_rates) != np.shape(self.losses)[:1]:
            raise ValueError(
                f"`losses` must have one row a rate. Received: {np.shape(self.learning_rates)} and "
                f"{np.shape(self.losses)}."
            )

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "learning_rates": float_array(values["learning_rates"], ndim=1),
            "losses": float_array(values["losses"], ndim=2),
            "sweep_suggestion": Suggestion.from_dict(values["sweep_suggestion"]),
        }
