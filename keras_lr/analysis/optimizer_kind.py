"""What the kind of an optimizer tells about its learning rates, before any curve is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ADAPTIVE = frozenset({"adam", "adamw", "adamax", "nadam", "rmsprop"})
MOMENTUM_IS_OPTIONAL = frozenset({"sgd", "rmsprop", "adagrad"})


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
