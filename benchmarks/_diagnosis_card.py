"""Fits the scorecards, additive, piecewise linear, multinomial logistic regressions, and judges many runs by them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from _diagnosis_runs import CONSTANT, STATES, VIEWS
from sklearn.linear_model import LogisticRegression

from keras_lr.analysis._diagnosis.features import (
    FEATURE_NAMES,
    METRIC_FEATURES,
    RATE_FEATURES,
    UNTRAINED_FEATURES,
    UNTRAINED_VALIDATION_FEATURES,
    VALIDATION_FEATURES,
    VALIDATION_METRIC_FEATURES,
)
from keras_lr.analysis._diagnosis.scorecard import CARDS, SCORED_VERDICTS, CardTable, card_for

QUANTILES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
SHRINKAGE = 0.01
HIDDEN = {"nothing": set(), "metric": {*METRIC_FEATURES, *VALIDATION_METRIC_FEATURES}}
"""Features that a card must also do without."""

NEEDS = {
    "val_loss": {*VALIDATION_FEATURES, *VALIDATION_METRIC_FEATURES, *UNTRAINED_VALIDATION_FEATURES},
    "accuracy": {*METRIC_FEATURES, *VALIDATION_METRIC_FEATURES},
    "untrained": {*UNTRAINED_FEATURES, *UNTRAINED_VALIDATION_FEATURES},
    "rate": {*RATE_FEATURES},
}
"""The features that need each piece of knowledge."""

LARGER_MODEL_DECADES = 1.0
"""The best rates of published models lie about so far below those of the tasks here, which are small. Every third run
is fitted with its rate moved by this much, so that a card learns which rates are extreme and not which one is best."""


def fit(runs: pd.DataFrame) -> dict[str, CardTable]:
    """The numbers of each card, fitted to the runs that no fact settles.

    All labels have the same total weight, and runs of a shortened budget weigh half. Each run is used with and without
    its metric, and every third run without its rate, so that the other features also work on their own.
    """
    return {card: _fit_card(runs[runs[f"settled {card}"].isna()], list(names)) for card, names in CARDS.items()}


def shares(tables: Mapping[str, CardTable], runs: pd.DataFrame, state: str) -> np.ndarray:
    """The share of each of `SCORED_VERDICTS` for runs that no fact settles, in a state of knowledge, shape `(n, 3)`."""
    return np.mean([_shares_of_view(tables, runs, state, view) for view in VIEWS], axis=0)


def _shares_of_view(tables: Mapping[str, CardTable], runs: pd.DataFrame, state: str, view: str) -> np.ndarray:
    hidden = set().union(*(names for need, names in NEEDS.items() if need not in STATES[state]))
    known = CONSTANT if "constant" in STATES[state] else ""
    seen = runs[[known + view + name for name in FEATURE_NAMES]].set_axis(list(FEATURE_NAMES), axis=1)
    seen = seen.assign(**dict.fromkeys(hidden, np.nan))
    totals = np.empty((len(seen), len(SCORED_VERDICTS)))
    cards = np.array([card_for(row) for _, row in seen[[VALIDATION_FEATURES[0], UNTRAINED_FEATURES[0]]].iterrows()])
    for card in np.unique(cards):
        rows = cards == card
        totals[rows] = _totals(tables[card], seen.loc[rows, list(CARDS[card])].to_numpy(dtype=float))
    excluded = [[verdict in without for verdict in SCORED_VERDICTS] for without in runs[f"excluded {state}"]]
    totals[np.array(excluded, dtype=bool).reshape(totals.shape)] = -np.inf
    likelihoods = np.exp(totals - totals.max(axis=1, keepdims=True))
    return np.asarray(likelihoods / likelihoods.sum(axis=1, keepdims=True))


def _totals(table: CardTable, rows: np.ndarray) -> np.ndarray:
    totals = np.tile(np.asarray(table.intercepts, dtype=float), (len(rows), 1))
    for place, (column, knots) in enumerate(zip(rows.T, table.knots, strict=True)):
        known = np.isfinite(column)
        for verdict, points in enumerate(table.points):
            totals[known, verdict] += np.interp(column[known], knots, points[place])
    return totals


def _fit_card(usable: pd.DataFrame, names: list[str]) -> CardTable:
    seen = usable.assign(rate_position=_rates(usable))
    shown = pd.concat(seen.assign(**dict.fromkeys(HIDDEN[hidden] & set(names), np.nan)) for hidden in HIDDEN)
    weights = shown["label"].map(len(shown) / len(SCORED_VERDICTS) / shown["label"].value_counts()).to_numpy()
    weights = weights * np.where(shown["budget"] == 1, 1.0, 0.5) * len(usable) / len(shown)
    rows = shown[names].to_numpy(dtype=float)
    knots = [np.unique(np.quantile(column[np.isfinite(column)], QUANTILES)) for column in rows.T]
    hats = [_hat(column, at) for column, at in zip(rows.T, knots, strict=True)]
    means = [np.average(np.nan_to_num(hat), axis=0, weights=weights * np.isfinite(hat[:, 0])) for hat in hats]
    model = LogisticRegression(C=SHRINKAGE, max_iter=1000)
    centred = [np.nan_to_num(hat - mean) for hat, mean in zip(hats, means, strict=True)]
    model.fit(np.hstack(centred), shown["label"].to_numpy(), sample_weight=weights)
    cuts = np.cumsum([len(at) for at in knots])[:-1]
    points = [
        [part - part @ mean for part, mean in zip(np.split(row, cuts), means, strict=True)] for row in model.coef_
    ]
    return CardTable(knots, points, model.intercept_)


def _rates(usable: pd.DataFrame) -> pd.Series:
    """The position of the rate, by turns unknown, as it is, and as it would be in a larger model."""
    turns = np.resize([np.nan, 0.0, -LARGER_MODEL_DECADES], len(usable))
    return usable["rate_position"] + turns


def _hat(column: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """The weight of each knot, shape `(n, n_knots)`; NaN where the feature is NaN."""
    hat = np.column_stack([np.interp(column, knots, unit) for unit in np.eye(len(knots))])
    hat[np.isnan(column)] = np.nan
    return hat
