"""Fits the scorecards: additive, piecewise linear, multinomial logistic regressions."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from keras_lr.analysis._diagnosis.features import METRIC_FEATURES, RATE_FEATURES, VALIDATION_METRIC_FEATURES
from keras_lr.analysis._diagnosis.scorecard import CARDS, SCORED_VERDICTS

QUANTILES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
SHRINKAGE = 0.01
OPTIONAL = ({*METRIC_FEATURES, *VALIDATION_METRIC_FEATURES}, set(RATE_FEATURES))
"""Groups of features that a card must do without in half of the runs it is fitted to."""


class Scorecard:
    """Knots at quantiles of each feature, and points at the knots; a NaN feature gives no points."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = list(names)

    def fit(self, rows: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Scorecard:
        """Fits to features of shape `(n, k)`."""
        self.knots = [np.unique(np.quantile(column[np.isfinite(column)], QUANTILES)) for column in rows.T]
        hats = self._hats(rows)
        self.means = [np.average(np.nan_to_num(hat), axis=0, weights=weights * np.isfinite(hat[:, 0])) for hat in hats]
        self.model = LogisticRegression(C=SHRINKAGE, max_iter=1000)
        self.model.fit(self._centred(hats), labels, sample_weight=weights)
        return self

    def shares(self, runs: pd.DataFrame) -> np.ndarray:
        """The share of each of `SCORED_VERDICTS`, shape `(n, 3)`."""
        return self.model.predict_proba(self._centred(self._hats(runs[self.names].to_numpy(dtype=float))))

    def table(self) -> tuple[list[np.ndarray], list[list[np.ndarray]], np.ndarray]:
        """Knots by feature, points by verdict and feature, and intercepts by verdict."""
        cuts = np.cumsum([len(knots) for knots in self.knots])[:-1]
        points = [
            [part - part @ mean for part, mean in zip(np.split(row, cuts), self.means, strict=True)]
            for row in self.model.coef_
        ]
        return self.knots, points, self.model.intercept_

    def _hats(self, rows: np.ndarray) -> list[np.ndarray]:
        """The weight of each knot, one array of shape `(n, n_knots)` per feature, NaN where the feature is NaN."""
        hats = []
        for column, knots in zip(rows.T, self.knots, strict=True):
            hat = np.column_stack([np.interp(column, knots, unit) for unit in np.eye(len(knots))])
            hat[np.isnan(column)] = np.nan
            hats.append(hat)
        return hats

    def _centred(self, hats: list[np.ndarray]) -> np.ndarray:
        return np.hstack([np.nan_to_num(hat - mean) for hat, mean in zip(hats, self.means, strict=True)])


def fit(runs: pd.DataFrame) -> dict[str, Scorecard]:
    """A scorecard per state of knowledge, each for the runs that no fact settles.

    All labels have the same total weight, and runs of a shortened budget weigh half. Each run is used with and without
    its metric and its rate, so that the other features also work on their own.
    """
    return {card: _fit_one(runs[runs[f"settled {card}"].isna()], names) for card, names in CARDS.items()}


def _fit_one(usable: pd.DataFrame, names: tuple[str, ...]) -> Scorecard:
    views = [
        usable.assign(**dict.fromkeys(OPTIONAL[0] & set(names), np.nan) if hidden[0] else {}).assign(
            **dict.fromkeys(OPTIONAL[1] & set(names), np.nan) if hidden[1] else {}
        )
        for hidden in itertools.product((False, True), repeat=len(OPTIONAL))
    ]
    shown = pd.concat(views)
    weights = shown["label"].map(len(shown) / len(SCORED_VERDICTS) / shown["label"].value_counts()).to_numpy()
    weights = weights * np.where(shown["budget"] == 1, 1.0, 0.5) / len(views)
    return Scorecard(names).fit(shown[list(names)].to_numpy(dtype=float), shown["label"].to_numpy(), weights)
