"""Fits the constants of the default rule to tasks, by their regret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from _advice_cases import Case, look_up
from _advice_refine import fit_refinement

from keras_lr.analysis._suggestion.calibration import REFERENCE_DENSITY, Calibration, OptimizerPrior, Vote
from keras_lr.analysis._suggestion.suggest import suggest_from_landmarks, suggested_decades

SHRINKAGE = 0.005
"""Cost per squared decade of moving a vote away from its own best fit."""

STEPS = (0.3, 0.1, 0.05)
LAGS = np.arange(0, 0.61, 0.1)
PRIOR = (
    ("usual_decades", (-2.2, -2.1, -2.0, -1.9, -1.8)),
    ("raises_slow_decades", (0.4, 0.5, 0.6, 0.7, 0.8)),
    ("raises_decades", (0.0, 0.1, 0.2, 0.3, 0.4)),
    ("raises_unseen_decades", (0.0, 0.1, 0.2, 0.3, 0.4)),
    ("lowers_decades", (0.4, 0.6, 0.8, 1.0, 1.2)),
)


def fit(cases: list[Case], start: Calibration) -> Calibration:
    """The calibration with the lowest mean cost over `cases`; `start` names the landmarks that vote."""
    seen = [case for case in cases if case.marks.fell]
    calibration = replace(start, votes=_fit_votes(seen, tuple(start.votes)))
    calibration = _fit_interval(cases, replace(calibration, prior=_fit_prior(seen, calibration)))
    return replace(calibration, refinement=fit_refinement(cases, calibration))


def _fit_votes(cases: list[Case], names: tuple[str, ...]) -> dict[str, Vote]:
    """Fits each vote on its own, then all together by coordinate descent."""
    costs = np.stack([case.cost for case in cases])
    places = np.array([[getattr(case.marks, name) for case in cases] for name in names])
    density = np.log10([case.marks.steps_per_decade / REFERENCE_DENSITY for case in cases])
    alone = np.array([_best_alone(costs, place, density) for place in places])

    def cost(votes: np.ndarray) -> float:
        middles = np.median(places + votes[:, :1] + votes[:, 1:] * density, axis=0)
        return float(look_up(costs, middles).mean() + SHRINKAGE * ((votes - alone) ** 2).sum())

    votes = _descend(cost, alone)
    return {
        name: Vote(round(float(offset), 2), round(float(slope), 2))
        for name, (offset, slope) in zip(names, votes, strict=True)
    }


def _best_alone(costs: np.ndarray, place: np.ndarray, density: np.ndarray) -> tuple[float, float]:
    choices = [(offset, slope) for offset in np.arange(-2, 1.05, 0.1) for slope in np.arange(0, 1.41, 0.2)]
    return min(choices, key=lambda choice: look_up(costs, place + choice[0] + choice[1] * density).mean())


def _descend(cost: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    """Coordinate descent with decreasing steps, in which all offsets may also move together."""
    moves = [*np.eye(start.size).reshape(-1, *start.shape), np.tile([1.0, 0.0], (len(start), 1))]
    votes, least = start.copy(), cost(start)
    for step in STEPS:
        improved = True
        while improved:
            improved = False
            for move in (sign * step * move for move in moves for sign in (-1, 1)):
                if (value := cost(votes + move)) < least - 1e-9:
                    votes, least, improved = votes + move, value, True
    return votes


def _fit_prior(cases: list[Case], calibration: Calibration) -> OptimizerPrior:
    """The lag, from optimizers with neither momentum nor a usual rate; then one number of the prior after the other."""

    def cost(prior: OptimizerPrior, part: list[Case]) -> float:
        numbers = replace(calibration, prior=prior)
        middles = [suggested_decades(case.marks, numbers, case.kind) for case in part]
        return float(look_up(np.stack([case.cost for case in part]), np.array(middles)).mean())

    momentum_free = [case for case in cases if case.kind.momentum_free and not case.kind.adaptive]
    adaptive = [case for case in cases if case.kind.adaptive]
    prior = calibration.prior
    for name, choices, part in (("lag_decades", LAGS, momentum_free), *((*choice, adaptive) for choice in PRIOR)):
        tried = [replace(prior, **{name: round(float(choice), 2)}) for choice in choices]
        prior = min(tried, key=lambda one: cost(one, part)) if part else prior
    return prior


def _fit_interval(cases: list[Case], start: Calibration) -> Calibration:
    """The widths with the largest mean overlap with the good range."""
    alone = [(case, suggest_from_landmarks([case.marks], calibration=start).learning_rate) for case in cases]
    sure = [(case, np.log10(rate)) for case, rate in alone if rate]
    middles = np.array([middle for _, middle in sure])
    jumps = np.array([case.marks.jump for case, _ in sure])
    good = np.array([case.truth.good for case, _ in sure])

    def overlap(below: float, above: float) -> float:
        lows, highs = middles - below, middles + np.maximum((above + jumps - middles) / 2, 0)
        shared = np.maximum(np.minimum(highs, good[:, 1]) - np.maximum(lows, good[:, 0]), 0)
        return float(np.mean(shared / (np.maximum(highs, good[:, 1]) - np.minimum(lows, good[:, 0]))))

    below = max(np.arange(0.4, 1.5, 0.1), key=lambda width: overlap(width, start.above))
    above = max(np.arange(0.1, 1.2, 0.1), key=lambda width: overlap(below, width))
    return replace(start, below=round(float(below), 2), above=round(float(above), 2))
