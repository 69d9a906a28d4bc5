"""The scorecard: each feature gives points to each verdict, and the verdict with most points wins.

There is one card for each state of knowledge about the losses: with or without validation, with or without the
untrained loss. Within a card, a feature that is unknown gives no points.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.features import (
    LOSS_FEATURES,
    METRIC_FEATURES,
    RATE_FEATURES,
    UNTRAINED_FEATURES,
    UNTRAINED_VALIDATION_FEATURES,
    VALIDATION_FEATURES,
    VALIDATION_METRIC_FEATURES,
)
from keras_lr.analysis._diagnosis.scorecard_table import INTERCEPTS, KNOTS, POINTS
from keras_lr.results._diagnosis import Verdict

ScoredVerdict = Literal["good", "too_high", "too_low"]


class CardTable(NamedTuple):
    """The numbers of one card.

    Attributes:
        knots: Per feature the values between which the points are interpolated, increasing.
        points: Per verdict and feature the points at these values.
        intercepts: Per verdict the points that every run has.
    """

    knots: Sequence[Sequence[float]]
    points: Sequence[Sequence[Sequence[float]]]
    intercepts: Sequence[float]


# In the order of the table.
SCORED_VERDICTS: tuple[ScoredVerdict, ...] = ("good", "too_high", "too_low")
MAX_REASONS = 3
# A verdict with a lower share is wrong more often than right (`benchmarks/diagnosis.py`).
MIN_SHARE = 0.4
# To blame the rate takes half of the evidence: with less, the right advice is too often the opposite one.
MIN_SHARE_TO_BLAME = 0.5
# To blame a rate near the optimizer's default takes this much: a run that still improves at such a rate is mostly
# short, or slow for another reason, and one that ends badly has mostly another fault.
MIN_SHARE_AT_DEFAULT = 0.97

_VALIDATED = (*LOSS_FEATURES, *METRIC_FEATURES, *VALIDATION_FEATURES, *VALIDATION_METRIC_FEATURES)
# The features of each card, in the order of its table.
CARDS: dict[str, tuple[str, ...]] = {
    "loss": (*LOSS_FEATURES, *METRIC_FEATURES, *RATE_FEATURES),
    "validation": (*_VALIDATED, *RATE_FEATURES),
    "untrained": (*LOSS_FEATURES, *METRIC_FEATURES, *RATE_FEATURES, *UNTRAINED_FEATURES),
    "validation and untrained": (
        *_VALIDATED,
        *RATE_FEATURES,
        *UNTRAINED_FEATURES,
        *UNTRAINED_VALIDATION_FEATURES,
    ),
}

TABLES = {card: CardTable(KNOTS[card], POINTS[card], INTERCEPTS[card]) for card in CARDS}

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
    "rises": (
        0.3,
        "The {loss} rarely got worse from one epoch to the next.",
        "The {loss} often got worse from one epoch to the next.",
    ),
    "roughness": (-0.3, "The {loss} was smooth.", "The {loss} was uneven."),
    "late_gain": (
        0.78,
        "The {loss} hardly improved in the last third of the run.",
        "The {loss} was still improving in the last third of the run.",
    ),
    "promise": (2.0, "The {loss} was levelling off at the end.", "The {loss} was still improving at the end."),
    "half_way": (
        0.2,
        "The {loss} made half of its improvement early in the run.",
        "The {loss} took long to make half of its improvement.",
    ),
    "most_way": (
        0.5,
        "The {loss} made nearly all of its improvement in the first half of the run.",
        "The {loss} made part of its improvement in the second half of the run.",
    ),
    "lowest_at": (
        0.9,
        "The {loss} was at its best before the end of the run.",
        "The {loss} was at its best at the end of the run.",
    ),
    "end_rise": (
        1.04,
        "The {loss} ended close to its best.",
        "The {loss} ended well short of its best.",
    ),
    "largest_rise": (
        1.04,
        "The {loss} never got much worse in one epoch.",
        "The {loss} got much worse in a single epoch.",
    ),
    "validation_half_way": (
        0.2,
        "The validation {loss} made half of its improvement early in the run.",
        "The validation {loss} took long to make half of its improvement.",
    ),
    "validation_most_way": (
        0.5,
        "The validation {loss} made nearly all of its improvement in the first half of the run.",
        "The validation {loss} made part of its improvement in the second half of the run.",
    ),
    "validation_lowest_at": (
        0.9,
        "The validation {loss} was at its best before the end of the run.",
        "The validation {loss} was at its best at the end of the run.",
    ),
    "validation_end_rise": (
        1.04,
        "The validation {loss} ended close to its best.",
        "The validation {loss} ended well short of its best.",
    ),
    "validation_largest_rise": (
        1.04,
        "The validation {loss} never got much worse in one epoch.",
        "The validation {loss} got much worse in a single epoch.",
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
    "first_metric": (0.4, "The training metric began low.", "The training metric was high from the start."),
    "last_metric": (0.65, "The training metric ended low.", "The training metric ended high."),
    "metric_change": (
        0.1,
        "The training metric hardly changed.",
        "The training metric changed a lot over the run.",
    ),
    "best_validation_metric": (0.65, "The best validation metric was low.", "The best validation metric was high."),
    "validation_metric_change": (
        0.1,
        "The validation metric hardly changed.",
        "The validation metric changed a lot over the run.",
    ),
    "untrained_first_gain": (
        1.04,
        "The first epoch hardly improved on the untrained model.",
        "The first epoch already improved on the untrained model.",
    ),
    "untrained_last_gain": (
        1.71,
        "The {loss} kept less than half of what it gained on the untrained model.",
        "The {loss} kept most of what it gained on the untrained model.",
    ),
    "untrained_share": (
        0.3,
        "Training removed little of the untrained model's {loss}.",
        "Training removed much of the untrained model's {loss}.",
    ),
    "above_untrained": (
        0.78,
        "The {loss} stayed below that of the untrained model.",
        "The {loss} rose above that of the untrained model.",
    ),
    "untrained_first_validation": (
        1.04,
        "After the first epoch the validation {loss} was hardly better than before training.",
        "After the first epoch the validation {loss} was already better than before training.",
    ),
    "untrained_validation_share": (
        0.3,
        "On validation data, training removed little of the untrained model's {loss}.",
        "On validation data, training removed much of the untrained model's {loss}.",
    ),
    "rate_position": (
        0.0,
        "The learning rate is below the middle of the optimizer's usual range.",
        "The learning rate is above the middle of the optimizer's usual range.",
    ),
}


# Features of a series that say about the same.
THEMES = {
    "still improving": ("second_quarter_gain", "second_half_gain", "late_gain", "promise", "late_step", "step"),
    "setbacks": ("rises", "largest_rise", "end_rise", "roughness"),
    "way down": ("first_epoch_share", "half_way", "most_way", "lowest_at"),
    "metric": ("first_metric", "last_metric", "metric_change"),
}

# A high value of these says that the loss got worse, which is no reason to call a rate good.
SETBACKS = (
    "rises",
    "end_rise",
    "largest_rise",
    "validation_rises",
    "validation_end_rise",
    "validation_largest_rise",
    "final_gap",
    "above_untrained",
)


class Score(NamedTuple):
    """What the scorecard says of a run.

    Attributes:
        leader: The verdict with most points.
        shares: The share of the evidence of each verdict, in [0, 1], together 1: the softmax of the points.
        reasons: What the features that spoke most for it say, a sentence each, at most three.
    """

    leader: ScoredVerdict
    shares: dict[ScoredVerdict, float]
    reasons: tuple[str, ...]

    @property
    def share(self) -> float:
        """The share of the verdict with most points."""
        return self.shares[self.leader]

    def verdict(self, *, near_default: bool = False) -> Verdict:
        """The verdict with most points, "unclear" if its share is low.

        Args:
            near_default: Whether the learning rate is known to be near its optimizer's default.
        """
        return self.leader if self.share >= least_share(self.leader, near_default=near_default) else "unclear"


def least_share(leader: str, *, near_default: bool) -> float:
    """The share that the verdict with most points needs."""
    if leader == "good":
        return MIN_SHARE
    return MIN_SHARE_AT_DEFAULT if near_default else MIN_SHARE_TO_BLAME


def score_verdict(
    features: Mapping[str, float],
    *views: Mapping[str, float],
    excluded: Collection[str] = (),
    monitored: str = "loss",
    tables: Mapping[str, CardTable] = TABLES,
) -> Score:
    """Weighs the features of a run.

    Args:
        features: What `features` returned.
        *views: The same of other views of the run; the shares are the means over all.
        excluded: Verdicts that a fact rules out; they get no share.
        monitored: What the reasons call the judged series.
        tables: The numbers of each card.
    """
    shares = np.mean([_shares(seen, excluded, tables) for seen in (features, *views)], axis=0)
    winner = int(np.argmax(shares))
    card = card_for(features)
    points = contributions(CARDS[card], tables[card], features)
    lead = points[winner] - np.delete(points, winner, axis=0).mean(axis=0)
    names = CARDS[card]
    strongest = [names[index] for index in np.argsort(-lead) if lead[index] > 0]
    leader = SCORED_VERDICTS[winner]
    shown = [name for name in strongest if leader != "good" or not _is_setback(name, features[name])]
    return Score(
        leader,
        dict(zip(SCORED_VERDICTS, map(float, shares), strict=True)),
        tuple(sentence(name, features[name], monitored=monitored) for name in _unlike(shown)[:MAX_REASONS]),
    )


def _unlike(names: Sequence[str]) -> list[str]:
    """The first name of each theme and series, so that no two reasons say about the same."""
    found: dict[tuple[bool, str], str] = {}
    for name in names:
        feature = name.removeprefix("validation_")
        theme = next((theme for theme, members in THEMES.items() if feature in members), name)
        found.setdefault((feature != name, theme), name)
    return [*found.values()]


def _shares(features: Mapping[str, float], excluded: Collection[str], tables: Mapping[str, CardTable]) -> np.ndarray:
    """The share of each of `SCORED_VERDICTS`, shape `(3,)`."""
    card = card_for(features)
    totals = contributions(CARDS[card], tables[card], features).sum(axis=1) + np.array(tables[card].intercepts)
    totals[[verdict in excluded for verdict in SCORED_VERDICTS]] = -np.inf
    shares = np.exp(totals - totals.max())
    return np.asarray(shares / shares.sum())


def _is_setback(name: str, value: float) -> bool:
    return name in SETBACKS and value >= SENTENCES[name][0]


def card_for(features: Mapping[str, float]) -> str:
    """The card for what is known of the losses."""
    untrained = not np.isnan(features[UNTRAINED_FEATURES[0]])
    if np.isnan(features[VALIDATION_FEATURES[0]]):
        return "untrained" if untrained else "loss"
    return "validation and untrained" if untrained else "validation"


def contributions(names: Sequence[str], table: CardTable, features: Mapping[str, float]) -> np.ndarray:
    """Points of each feature for each of `SCORED_VERDICTS`, linear between the table's knots.

    Args:
        names: The card's features.
        table: The card's numbers.
        features: By name; a feature that is NaN gives no points.

    Returns:
        Shape `(3, n_features)`.
    """
    values = [features[name] for name in names]
    points = [
        [np.interp(value, knots, points) for value, knots, points in zip(values, table.knots, rows, strict=True)]
        for rows in table.points
    ]
    return np.where(np.isnan(values), 0.0, points)


def sentence(name: str, value: float, *, monitored: str = "loss") -> str:
    """What a feature's value means."""
    threshold, below, above = SENTENCES[name]
    return (below if value < threshold else above).format(loss=monitored)
