"""The scorecard: each feature gives points to each verdict, the most points win."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.features import FEATURE_NAMES
from keras_lr.analysis.scorecard_table import INTERCEPTS, KNOTS, POINTS

VERDICTS = ("good", "too_high", "too_low")
PHRASES = {
    "trend": "how steadily the loss moves one way",
    "first_epoch_share": "how much of the fall came in the first epoch",
    "half_way_remainder": "how much of the fall was left half-way",
    "rise_from_best": "how far the end lies above the best loss",
    "spike": "how far the highest loss stands out",
    "early_validation_trend": "how steadily the validation loss fell early",
    "validation_noise": "how noisy the late validation loss is against its fall",
    "late_validation_fall": "how much the validation loss still falls late",
    "validation_turns": "how often the validation loss turns",
    "generalisation_gap": "how far validation stays above training",
}


def contributions(values: np.ndarray) -> np.ndarray:
    """Points of each feature for each of `VERDICTS`, shape `(3, n_features)`: linear between the table's knots."""
    return np.array(
        [
            [np.interp(value, knots, points) for value, knots, points in zip(values, KNOTS, rows, strict=True)]
            for rows in POINTS
        ]
    )


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
