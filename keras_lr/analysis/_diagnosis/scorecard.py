"""The scorecard: each feature gives points to each verdict, the most points win."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis._diagnosis.features import FEATURE_NAMES
from keras_lr.analysis._diagnosis.scorecard_table import INTERCEPTS, KNOTS, POINTS

# A value, and what is said below and above it. 0.78, 1.04 and 1.71 are 5%, 10% and half, as `compress` has them.
SENTENCES: dict[str, tuple[float, str, str]] = {
    "trend": (-0.6, "The loss fell steadily.", "The loss did not fall steadily."),
    "first_epoch_share": (
        1.71,
        "Less than half of the loss's fall came at the very start.",
        "Most of the loss's fall came at the very start.",
    ),
    "second_quarter_gain": (
        1.04,
        "The loss fell little in the second quarter of the run.",
        "The loss was still falling in the second quarter of the run.",
    ),
    "second_half_gain": (
        1.04,
        "The loss fell little in the second half of the run.",
        "The loss was still falling in the second half of the run.",
    ),
    "late_step": (
        0.78,
        "The loss moved by small steps late in the run.",
        "The loss still moved by large steps late in the run.",
    ),
    "validation_rises": (0.3, "The validation loss rarely rose.", "The validation loss rose again and again."),
    "validation_roughness": (-0.3, "The validation loss ran smoothly.", "The validation loss ran unevenly."),
    "validation_step": (
        0.78,
        "The validation loss moved by small steps late in the run.",
        "The validation loss still moved by large steps late in the run.",
    ),
    "validation_late_gain": (
        0.78,
        "The validation loss hardly improved in the last third of the run.",
        "The validation loss was still improving in the last third of the run.",
    ),
    "validation_promise": (
        2.0,
        "The validation loss was levelling off at the end.",
        "The validation loss was still on its way down at the end.",
    ),
    "validation_reach": (
        -1.04,
        "The validation loss got well below where training stood at the start.",
        "The validation loss hardly got below where training stood at the start.",
    ),
    "first_validation": (
        0.5,
        "The first validation loss was hardly below the first training loss.",
        "The first validation loss was already well below the first training loss.",
    ),
    "training_above": (
        0.5,
        "Late in the run the training loss was mostly below the validation loss.",
        "Late in the run the training loss was mostly above the validation loss.",
    ),
    "final_gap": (
        0.48,
        "The validation loss ended close to the training loss or below it.",
        "The validation loss ended above the training loss.",
    ),
    "best_validation_metric": (0.65, "The best validation metric was low.", "The best validation metric was high."),
    "last_metric": (0.65, "The training metric ended low.", "The training metric ended high."),
    "first_metric": (
        0.4,
        "The training metric began low.",
        "The training metric was high from the start.",
    ),
    "validation_metric_rise": (
        0.1,
        "The validation metric hardly moved.",
        "The validation metric moved far over the run.",
    ),
}


COMPARISONS = ("validation_reach", "first_validation", "training_above", "final_gap")

VERDICTS = ("good", "too_high", "too_low")


def sentence(name: str, value: float, *, validated: bool = True) -> str:
    """The feature's sentence for its value.

    Without validation the loss was read in its stead, and what compares the two says nothing: an empty text.
    """
    threshold, below, above = SENTENCES[name]
    told = below if value < threshold else above
    if validated:
        return told
    return "" if name in COMPARISONS else told.replace("validation loss", "loss")


def contributions(values: np.ndarray) -> np.ndarray:
    """Points of each feature for each of `VERDICTS`, shape `(3, n_features)`: linear between the table's knots.

    A feature that is NaN, as those of a metric where there is none, gives no points.
    """
    points = [
        [np.interp(value, knots, points) for value, knots, points in zip(values, KNOTS, rows, strict=True)]
        for rows in POINTS
    ]
    return np.where(np.isnan(values), 0.0, points)


def judge(values: np.ndarray, *, validated: bool = True) -> tuple[str, float, tuple[str, ...]]:
    """The verdict, its share of the evidence in [0, 1], and what the three features that spoke most for it say.

    Args:
        values: What `features` returns.
        validated: Whether there was a validation loss to speak of.
    """
    points = contributions(values)
    totals = points.sum(axis=1) + np.array(INTERCEPTS)
    shares = np.exp(totals - totals.max())
    shares /= shares.sum()
    winner = int(np.argmax(totals))
    lead = points[winner] - np.delete(points, winner, axis=0).mean(axis=0)
    strongest = [index for index in np.argsort(-lead) if lead[index] > 0]
    told = (sentence(FEATURE_NAMES[index], float(values[index]), validated=validated) for index in strongest)
    return VERDICTS[winner], float(shares[winner]), tuple(filter(None, told))[:3]
