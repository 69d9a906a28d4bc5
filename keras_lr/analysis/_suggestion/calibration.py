"""The fitted constants of the default rule, and the kinds of optimizer that they distinguish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ADAPTIVE = frozenset({"adam", "adamw", "adamax", "nadam", "rmsprop"})
"""Optimizers that normalize the gradient, so that they share a usual learning rate."""

MOMENTUM_IS_OPTIONAL = frozenset({"sgd", "rmsprop", "adagrad"})
"""Optimizers without momentum unless their `momentum` argument sets it."""

CLEAR_FALL_SHARE = 0.5
"""Least fall of the loss for "clear", as a fraction of its start. A sweep that lowers the loss by less shows only how
training begins. On the tasks of `benchmarks/advice.py` this tells good suggestions from bad ones best of all landmarks.
"""

REFERENCE_DENSITY = 12.4
"""Steps per decade of a sweep of 100 steps over eight decades, for which the offsets of the votes hold."""

REFERENCE_RUN_STEPS = 33
"""Length of a short run after a sweep of 100 steps, for which `RefinementCalibration.offset_decades` holds."""


REFERENCE_PLAN_STEPS = 615
"""Median length of the runs that the constants were fitted on, in steps."""

LONGER_SLOPE, SHORTER_SLOPE = 0.25, 0.15
"""Decades by which the best rate falls with each tenfold length of the training, and rises with a tenth of it."""

MAX_LENGTH_DECADES = 1.0
"""No plan moves a suggestion farther: such lengths were not measured."""


@dataclass(frozen=True)
class OptimizerKind:
    """Two traits of an optimizer that move its best learning rate.

    Attributes:
        adaptive: Whether the size of a step is about the learning rate, whatever the size of the gradient. If so, a
            rate that is usual for other models says something about this one.
        momentum_free: Whether the optimizer is known to work without momentum, so that the loss shows the effect of a
            rate at once. Momentum delays it by about ten steps, when the sweep has reached larger rates.
    """

    adaptive: bool = False
    momentum_free: bool = False


UNKNOWN = OptimizerKind()


def kind_of(optimizer: Any) -> OptimizerKind:
    """The traits of an optimizer; `UNKNOWN` for one that the default rule does not know.

    Args:
        optimizer: A Keras optimizer, possibly wrapped for loss scaling, its name, or None.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = (inner if isinstance(inner, str) else type(inner).__name__).lower()
    return OptimizerKind(
        adaptive=name in ADAPTIVE, momentum_free=name in MOMENTUM_IS_OPTIONAL and not getattr(inner, "momentum", 0)
    )


@dataclass(frozen=True)
class Vote:
    """How one landmark points to the middle of the usable range.

    Attributes:
        offset_decades: Distance from the landmark to the middle, at the reference density.
        density_slope: Decades added per tenfold increase of the steps per decade. Early progress depends on the sum of
            the rates of all steps so far, so a denser sweep shows it at a proportionally lower rate (a slope near 1).
            The onset of instability depends on the rate alone (a slope near 0).
    """

    offset_decades: float
    density_slope: float


@dataclass(frozen=True)
class OptimizerPrior:
    """What a known kind of optimizer adds to the landmarks.

    Attributes:
        usual_decades: Log10 of the learning rate that most often suits adaptive optimizers on small models.
        lowers_decades: How far at most it lowers what the landmarks point to.
        raises_decades: How far at most it raises that, if the sweep lowered the loss by half or more. Large models and
            trained weights need far lower rates than the usual one, and their landmarks show it.
        raises_slow_decades: The same if the sweep lowered the loss by less, so that it shows only how training begins.
        raises_unseen_decades: How far at most it raises what the breakaway points to where no fall is seen. The
            breakaway of a model with trained weights lies closer to its good rates.
        lag_decades: Added to every landmark of an optimizer without momentum. The vote offsets compensate for
            momentum's lag; this undoes that for optimizers without momentum.
    """

    usual_decades: float
    lowers_decades: float
    raises_decades: float
    raises_slow_decades: float
    raises_unseen_decades: float
    lag_decades: float

    def move(self, point: float, *, fall_share: float) -> float:
        """The log10 of a rate, moved towards the usual one of adaptive optimizers.

        Args:
            point: What the landmarks point to.
            fall_share: The fall of the loss in the sweep, as a fraction of its start.
        """
        raises = self.raises_slow_decades if fall_share < CLEAR_FALL_SHARE else self.raises_decades
        return float(np.clip(self.usual_decades, point - self.lowers_decades, point + raises))


@dataclass(frozen=True)
class RefinementCalibration:
    """How short runs at constant rates move a suggestion.

    Attributes:
        offset_decades: Distance from the middle of the good runs to the suggestion, for runs of the reference length.
            It is negative because a short run favours too large a rate.
        length_slope: Decades by which a run ten times as long shortens that distance.
        trust: Fraction of the way that the suggestion is moved.
    """

    offset_decades: float
    length_slope: float
    trust: float

    def offset(self, num_steps: int) -> float:
        """Distance from the middle of the good runs to the suggestion, at most 0, for runs of `num_steps` steps."""
        return float(min(self.offset_decades + self.length_slope * np.log10(num_steps / REFERENCE_RUN_STEPS), 0))


@dataclass(frozen=True)
class Calibration:
    """All fitted constants; widths and distances are in decades of learning rate.

    Attributes:
        votes: How each landmark votes, by its name.
        prior: What the kind of optimizer adds.
        below: Distance from the suggestion down to the lower end of the usable range.
        above: Distance from the suggestion up to its upper end, before that is averaged with the first jump.
        refinement: How short runs move the suggestion.
    """

    votes: Mapping[str, Vote]
    prior: OptimizerPrior
    below: float
    above: float
    refinement: RefinementCalibration


CALIBRATION = Calibration(
    votes={"half": Vote(0.4, 0.95), "nearly": Vote(-0.8, 0.95), "rise": Vote(-1.4, 0.3)},
    prior=OptimizerPrior(
        usual_decades=-2.0,
        lowers_decades=0.6,
        raises_decades=0.1,
        raises_slow_decades=0.6,
        raises_unseen_decades=0.2,
        lag_decades=0.3,
    ),
    below=0.8,
    above=0.5,
    refinement=RefinementCalibration(offset_decades=-0.3, length_slope=0.0, trust=0.75),
)
"""Fitted to all tasks by `python benchmarks/advice.py --fit`."""
