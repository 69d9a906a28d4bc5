"""What is known of a run besides its curves: its loss before training, that of a constant output, and its optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras_lr._utils.validation import is_number, positive, real
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.errors import InvalidArgumentError

# The learning rates that published recipes and the defaults of Keras use, by the optimizer's class name in lower case.
# Rates for fine-tuning are the lower end for adaptive optimizers; for SGD, momentum moves both ends down tenfold.
ADAPTIVE_RATES = (1e-5, 1e-2)
SGD_RATES = (1e-3, 1.0)
MOMENTUM_RATES = (1e-4, 1e-1)
USUAL_RATES = dict.fromkeys(("adam", "adamw", "nadam", "adamax", "rmsprop"), ADAPTIVE_RATES) | {
    "sgd": SGD_RATES,
    "momentum": MOMENTUM_RATES,
    "adagrad": SGD_RATES,
    "lion": (1e-6, 1e-3),
}
# A loss with one of these names is never negative if the labels are those that it expects.
CROSS_ENTROPIES = ("binarycrossentropy", "categoricalcrossentropy", "sparsecategoricalcrossentropy")


@dataclass(frozen=True)
class RunContext:
    """Facts about a run that its history need not hold; None for what is unknown.

    Attributes:
        untrained_loss: Training loss before the first step, in the loss's unit.
        baseline_loss: Loss of the best constant output, in the loss's unit.
        optimizer: Class name of the optimizer in lower case; "momentum" for SGD with momentum.
        learning_rate: The run's learning rate, dimensionless.
        loss: Name of the loss in lower case, without underscores.
    """

    untrained_loss: float | None = None
    baseline_loss: float | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    loss: str | None = None

    @property
    def usual_rates(self) -> tuple[float, float] | None:
        """The lowest and the highest learning rate that the optimizer is usually given; None if it is unknown."""
        return USUAL_RATES.get(self.optimizer or "")

    @property
    def rate_position(self) -> float | None:
        """Decades from the middle of the usual rates up to the run's rate; None if either is unknown."""
        if self.usual_rates is None or self.learning_rate is None:
            return None
        return math.log10(self.learning_rate / math.sqrt(self.usual_rates[0] * self.usual_rates[1]))

    @property
    def decades_above_usual(self) -> float:
        """Decades from the highest usual rate up to the run's rate; minus infinity if either is unknown."""
        if self.usual_rates is None or self.learning_rate is None:
            return -math.inf
        return math.log10(self.learning_rate / self.usual_rates[1])

    @property
    def decades_below_usual(self) -> float:
        """Decades from the run's rate up to the lowest usual rate; minus infinity if either is unknown."""
        if self.usual_rates is None or self.learning_rate is None:
            return -math.inf
        return math.log10(self.usual_rates[0] / self.learning_rate)

    @property
    def is_usual_rate(self) -> bool:
        """Whether the rate is known to be one of those that the optimizer is usually given."""
        outside = max(self.decades_above_usual, self.decades_below_usual)
        return -math.inf < outside <= 0

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the loss is known to be a cross-entropy of Keras."""
        return self.loss is not None and self.loss.removesuffix("loss") in CROSS_ENTROPIES


def run_context(
    history: TrainingHistory,
    *,
    untrained_loss: Any = None,
    baseline_loss: Any = None,
    optimizer: Any = None,
    learning_rate: Any = None,
    loss: Any = None,
) -> RunContext:
    """The facts, checked. The history's own learning rate comes first; losses say nothing of a judged metric.

    Raises:
        InvalidArgumentError: A number is not finite or a rate not positive, or a name is not text.
    """
    untrained, baseline = (
        None if value is None else real(name, value)
        for name, value in (("untrained_loss", untrained_loss), ("baseline_loss", baseline_loss))
    )
    rate = None if learning_rate is None else positive("learning_rate", learning_rate)
    name = _optimizer_name(optimizer)
    if rate is None:
        rate = _rate_of(optimizer)
    judged_by_loss = history.direction == "min"
    return RunContext(
        untrained_loss=untrained if judged_by_loss else None,
        baseline_loss=baseline if judged_by_loss else None,
        optimizer=name,
        learning_rate=rate if history.learning_rate is None else history.learning_rate,
        loss=_class_name("loss", loss).replace("_", "") or None,
    )


def _optimizer_name(optimizer: Any) -> str | None:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = _class_name("optimizer", inner)
    return "momentum" if name == "sgd" and bool(getattr(inner, "momentum", False)) else name or None


def _rate_of(optimizer: Any) -> float | None:
    """The constant learning rate of a Keras optimizer; None for a name or a schedule."""
    config: dict[str, Any] = getattr(optimizer, "get_config", dict)()
    rate: Any = config.get("learning_rate")
    return float(rate) if is_number(rate) and rate > 0 else None


def _class_name(argument: str, value: Any) -> str:
    """The name of a Keras object or function, or the name itself, in lower case; empty for None."""
    if value is None:
        return ""
    name = value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)
    if is_number(value) or not name:
        raise InvalidArgumentError(f"`{argument}` must be a Keras object or its name. Received: {value!r}.")
    return str(name).lower()
