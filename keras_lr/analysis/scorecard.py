"""The scorecard: each feature gives points to each verdict, the most points win."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.features import FEATURE_NAMES
from keras_lr.analysis.scorecard_table import INTERCEPTS, KNOTS, POINTS

VERDICTS = ("good", "too_high", "too_low")
PHRASES = {
    "trend": "how steadily the loss moves one way",
    "first_epoch_share": "how much of the fall came in the first epoch",
    "second_quarter_gain": "how much the loss gained in the second quarter",
    "second_half_gain": "how much the loss gained in the second half",
    "late_step": "how large the loss's late steps are against its fall",
    "validation_rises": "how often the validation loss rises",
    "validation_roughness": "how rough the validation loss's course is",
    "validation_step": "how large the validation loss's late steps are",
    "validation_late_gain": "how much the best validation loss gained in the last third",
    "validation_promise": "how much more fall the validation loss's course promises",
    "validation_reach": "how far the validation loss got below the second epoch's loss",
    "first_validation": "where the first validation loss lies among the first losses",
    "training_above": "how often the late training loss lies above validation",
    "final_gap": "how far validation ends above training",
    "best_validation_metric": "how good the best validation metric is",
    "last_metric": "how good the last training metric is",
    "first_metric": "how good the first epoch's metric is",
    "validation_metric_rise": "how far the validation metric rose",
}


def contributions(values: np.ndarray) -> np.ndarray:
    """Points of each feature for each of `VERDICTS`, shape `(3, n_features)`: linear between the table's knots.

    A feature that is NaN, as those of a metric where there is none, gives no points.
    """
    points = [
        [np.interp(value, knots, points) for value, knots, points in zip(values, KNOTS, rows, strict=True)]
        for rows in POINTS
    ]
    return np.where(np.isnan(values), 0.0, points)


def judge(values: np.ndarray) -> tuple[str, float, tuple[str, ...]]:
    """The verdict, its share of the evidence in [0, 1], and the three features that spoke most for it."""
    points = contributions(values)
    totals = points.sum(axis=1) + np.array(INTERCEPTS)
    shares = np.exp(totals - totals.max())
    shares /= shares.sum()
    winner = int(np.argmax(totals))
    lead = points[winner] - np.delete(points, winner, axis=0).mean(axis=0)
    strongest = np.argsort(-lead)[:3]
    return VERDICTS[winner], float(shares[winner]), tuple(PHRASES[FEATURE_NAMES[index]] for index in strongest)
