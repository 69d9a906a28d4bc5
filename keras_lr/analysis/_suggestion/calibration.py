"""The few numbers of the default rule that were fitted, on the tasks of `benchmarks/advice.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

REFERENCE_DENSITY = 12.4
"""Steps a decade of 100 steps over eight decades, at which the offsets hold."""

REFERENCE_RUN_STEPS = 33
"""Steps of a short run after a sweep of 100 steps."""

ADAPTIVE = frozenset({"adam", "adamw", "adamax", "nadam", "rmsprop"})
MOMENTUM_IS_OPTIONAL = frozenset({"sgd", "rmsprop", "adagrad"})


@dataclass(frozen=True)
class Vote:
    """How one landmark points to the middle of the usable range.

    Attributes:
        offset_decades: From the landmark to the middle, at the reference density.
        density_slope: Decades added for each tenfold in steps a decade. Early progress is the sum of the rates of all
            steps so far, so a denser sweep shows it at a rate lower in proportion (a slope near 1); where training
            becomes unstable depends on the rate alone (a slope near 0).
    """

    offset_decades: float
    density_slope: float


@dataclass(frozen=True)
class OptimizerPrior:
    """What the kind of optimizer adds where it is known.

    Attributes:
        usual_decades: Log10 of the learning rate that suits adaptive optimizers most often, on small models. Larger
            ones want less, which their landmarks tell: the usual rate never goes beyond what those point to.
        lag_decades: Added to every landmark of an optimizer without momentum. The offsets of the votes make up for the
            steps by which momentum lags, and that is too much where there is none.
    """

    usual_decades: float
    lag_decades: float


@dataclass(frozen=True)
class RefinementCalibration:
    """How short runs at constant rates move a suggestion.

    Attributes:
        offset_decades: From the middle of the good runs to the suggestion, at the reference length of a run; a short
            run favours too large a rate.
        length_slope: Decades that a run ten times as long takes off that offset.
        trust: Share of the way that the suggestion is moved.
    """

    offset_decades: float
    length_slope: float
    trust: float

    def offset(self, num_steps: int) -> float:
        """Decades from the middle of the good runs to the suggestion, at most 0, where each run has `num_steps`."""
        return float(min(self.offset_decades + self.length_slope * np.log10(num_steps / REFERENCE_RUN_STEPS), 0))


@dataclass(frozen=True)
class Calibration:
    """The fitted numbers, all in decades of learning rate.

    Attributes:
        votes: What each landmark adds to the median.
        habits: What the kind of optimizer adds.
        below: From the suggestion down to the lower end of the usable range.
        above: From the suggestion up to its upper end; that end is halfway between there and the first jump.
        refining: What short runs add.
    """

    votes: Mapping[str, Vote]
    habits: OptimizerPrior
    below: float
    above: float
    refining: RefinementCalibration


CALIBRATION = Calibration(
    votes={"half": Vote(0.3, 1.1), "nearly": Vote(-0.8, 0.8), "rise": Vote(-1.4, 0.25)},
    habits=OptimizerPrior(usual_decades=-2.0, lag_decades=0.3),
    below=0.8,
    above=0.5,
    refining=RefinementCalibration(offset_decades=-0.4, length_slope=0.5, trust=0.75),
)
"""Fitted on every task by `python benchmarks/advice.py --fit`."""


@dataclass(frozen=True)
class OptimizerKind:
    """Two traits of an optimizer that move where its best learning rate lies.

    Attributes:
        adaptive: Whether a step has about the size of the rate, whatever the size of the gradient. Then the rate has a
            scale of its own, and what is usual for one model says something about the next.
        prompt: Whether it surely works without momentum, so that a rate shows in the loss at once. Momentum shows it
            about ten steps late, when the sweep has gone on to larger rates.
    """

    adaptive: bool = False
    prompt: bool = False


UNKNOWN = OptimizerKind()


def kind_of(optimizer: Any) -> OptimizerKind:
    """The traits of an optimizer, none where it is not one of those that the rule knows.

    Args:
        optimizer: A Keras optimizer, also one wrapped for loss scaling, or its name; None where it is not known.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = (inner if isinstance(inner, str) else type(inner).__name__).lower()
    return OptimizerKind(
        adaptive=name in ADAPTIVE, prompt=name in MOMENTUM_IS_OPTIONAL and not getattr(inner, "momentum", 0)
    )
