"""The scorecard: each feature gives points to each verdict, and the verdict with most points wins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.features import FEATURE_NAMES
from keras_lr.analysis._diagnosis.scorecard_table import INTERCEPTS, KNOTS, POINTS

# In the order of the table.
SCORED_VERDICTS = ("good", "too_high", "too_low")
MAX_REASONS = 3

# Per feature a threshold, and what to say below it and from it on; `{loss}` is the series that was judged. The
# thresholds 0.78, 1.04 and 1.71 are 5%, 10% and 50% on the scale of `compress`.
SENTENCES: dict[str, tuple[float, str, str]] = {
    "trend": (-0.6, "The {loss} improved steadily.", "The {loss} did not improve steadily."),
    "first_epoch_share": (
        1.71,
        "Less than half of the improvement of the {loss} came at the very start.",
        "Most of the improvement of the {loss} came at the very start.",
    ),
    "second_quarter_gain": (
        1.04,
        "The {loss} improved little in the second quarter of the run.",
        "The {loss} was still improving in the second quarter of the run.",
    ),
    "second_half_gain": (
        1.04,
        "The {loss} improved little in the second half of the run.",
        "The {loss} was still improving in the second half of the run.",
    ),
    "late_step": (
        0.78,
        "The {loss} changed little from epoch to epoch late in the run.",
        "The {loss} still changed a lot from epoch to epoch late in the run.",
    ),
    "validation_rises": (
        0.3,
        "The validation {loss} rarely got worse from one epoch to the next.",
        "The validation {loss} often got worse from one epoch to the next.",
    ),
    "validation_roughness": (-0.3, "The validation {loss} was smooth.", "The validation {loss} was uneven."),
    "validation_step": (
        0.78,
        "The validation {loss} changed little from epoch to epoch late in the run.",
        "The validation {loss} still changed a lot from epoch to epoch late in the run.",
    ),
    "validation_late_gain": (
        0.78,
        "The validation {loss} hardly improved in the last third of the run.",
        "The validation {loss} was still improving in the last third of the run.",
    ),
    "validation_promise": (
        2.0,
        "The validation {loss} was levelling off at the end.",
        "The validation {loss} was still improving at the end.",
    ),
    "validation_reach": (
        -1.04,
        "The validation {loss} became much better than the training {loss} was at the start.",
        "The validation {loss} hardly became better than the training {loss} was at the start.",
    ),
    "first_validation": (
        0.5,
        "The first validation {loss} was hardly better than the first training {loss}.",
        "The first validation {loss} was already much better than the first training {loss}.",
    ),
    "training_above": (
        0.5,
        "Late in the run the training {loss} was mostly better than the validation {loss}.",
        "Late in the run the training {loss} was mostly worse than the validation {loss}.",
    ),
    "final_gap": (
        0.48,
        "The validation {loss} ended close to the training {loss} or better.",
        "The validation {loss} ended worse than the training {loss}.",
    ),
    "best_validation_metric": (0.65, "The best validation metric was low.", "The best validation metric was high."),
    "last_metric": (0.65, "The training metric ended low.", "The training metric ended high."),
    "first_metric": (0.4, "The training metric began low.", "The training metric was high from the start."),
    "validation_metric_rise": (
        0.1,
        "The validation metric hardly changed.",
        "The validation metric changed a lot over the run.",
    ),
}
# Features that compare training with validation and mean nothing without validation.
COMPARISONS = ("validation_reach", "first_validation", "training_above", "final_gap")


class Score(NamedTuple):
    """What the scorecard says of a run.

    Attributes:
        verdict: The verdict with most points.
        share: Its share of the evidence, in [0, 1]: the softmax of the points.
        reasons: What the features that spoke most for it say, a sentence each, at most three.
    """

    verdict: str
    share: float
    reasons: tuple[str, ...]


def score_verdict(values: np.ndarray, *, validated: bool = True, monitored: str = "loss") -> Score:
    """Weighs the features of a run.

    Args:
        values: What `features` returned, shape `(18,)`.
        validated: Whether they were computed with a validation loss.
        monitored: What the reasons call the judged series.
    """
    points = contributions(values)
    totals = points.sum(axis=1) + np.array(INTERCEPTS)
    shares = np.exp(totals - totals.max())
    shares /= shares.sum()
    winner = int(np.argmax(totals))
    lead = points[winner] - np.delete(points, winner, axis=0).mean(axis=0)
    strongest = [index for index in np.argsort(-lead) if lead[index] > 0]
    reasons = (
        sentence(FEATURE_NAMES[index], float(values[index]), validated=validated, monitored=monitored)
        for index in strongest
    )
    return Score(SCORED_VERDICTS[winner], float(shares[winner]), tuple(filter(None, reasons))[:MAX_REASONS])


def contributions(values: np.ndarray) -> np.ndarray:
    """Points of each feature for each of `SCORED_VERDICTS`, linear between the table's knots.

    Args:
        values: Shape `(18,)`; a feature that is NaN gives no points.

    Returns:
        Shape `(3, 18)`.
    """
    points = [
        [np.interp(value, knots, points) for value, knots, points in zip(values, KNOTS, rows, strict=True)]
        for rows in POINTS
    ]
    return np.where(np.isnan(values), 0.0, points)


def sentence(name: str, value: float, *, validated: bool = True, monitored: str = "loss") -> str:
    """What a feature's value means; empty for a comparison with validation if there was none.

    Without validation the features were computed from the training loss alone, and the sentence speaks of that.
    """
    if name in COMPARISONS and not validated:
        return ""
    threshold, below, above = SENTENCES[name]
    template = below if value < threshold else above
    if not validated:
        template = template.replace("validation {loss}", "{loss}")
    return template.format(loss=monitored)
