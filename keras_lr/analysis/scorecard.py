"""The scorecard: each feature gives points to each verdict, the most points win."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.features import FEATURE_NAMES
from keras_lr.analysis.scorecard_table import INTERCEPTS, KNOTS, POINTS
from keras_lr.analysis.scorecard_words import sentence

VERDICTS = ("good", "too_high", "too_low")


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
