"""Fits the scorecard: an additive, piecewise linear, multinomial logistic regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

QUANTILES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
SHRINKAGE = 0.01
LABELS = ("good", "too_high", "too_low")


class Scorecard:
    """Knots at quantiles of each feature, and points at the knots; a NaN feature gives no points."""

    def fit(self, rows: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Scorecard:
        """Fits to features of shape `(n, k)`."""
        self.knots = [np.unique(np.quantile(column[np.isfinite(column)], QUANTILES)) for column in rows.T]
        hats = self._hats(rows)
        self.means = [np.average(np.nan_to_num(hat), axis=0, weights=weights * np.isfinite(hat[:, 0])) for hat in hats]
        self.model = LogisticRegression(C=SHRINKAGE, max_iter=1000)
        self.model.fit(self._centred(hats), labels, sample_weight=weights)
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The label with the most points, shape `(n,)`."""
        return self.model.predict(self._centred(self._hats(rows)))

    def table(self) -> tuple[list[np.ndarray], list[list[np.ndarray]], np.ndarray]:
        """Knots by feature, points by label and feature, and intercepts by label, in the order of `LABELS`."""
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


def fit(runs: pd.DataFrame, names: tuple[str, ...], metrics: tuple[str, ...]) -> Scorecard:
    """A scorecard for the runs that no rule decides.

    All labels have the same total weight, and runs of a shortened budget weigh half. Runs with a metric are used twice,
    with and without it, so that the other features also work on their own.
    """
    usable = runs[runs["rule"].isna()]
    measured = usable[usable[list(metrics)].notna().all(axis=1)]
    shown = pd.concat([usable, measured.assign(**dict.fromkeys(metrics, np.nan))])
    weights = shown["label"].map(len(shown) / len(LABELS) / shown["label"].value_counts()).to_numpy()
    weights = weights * np.where(shown["budget"] == 1, 1.0, 0.5) * np.where(shown.index.isin(measured.index), 0.5, 1.0)
    return Scorecard().fit(shown[list(names)].to_numpy(), shown["label"].to_numpy(), weights)
