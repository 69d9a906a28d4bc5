"""Building a schedule around the learning rate that a range test suggests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._range_test import RangeTestResult, Suggestion
from keras_lr.schedules._cosine_restarts import CosineRestarts
from keras_lr.schedules._cyclical import Cyclical
from keras_lr.schedules._flat_cosine import FlatCosine
from keras_lr.schedules._inverse_sqrt import InverseSqrt
from keras_lr.schedules._one_cycle import OneCycle
from keras_lr.schedules._polynomial import Polynomial
from keras_lr.schedules._warmup_stable_decay import WarmupStableDecay


class _Rates(NamedTuple):
    low: float
    best: float
    high: float


def _steps(total_steps: int, fraction: float) -> int:
    return max(1, round(total_steps * fraction))


def _one_cycle(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    return OneCycle(rates.best, total_steps, **options)


def _cyclical(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    defaults = {"up_steps": _steps(total_steps, 1 / 8)}
    return Cyclical(rates.low, rates.high, **(defaults | options))


def _warmup_cosine(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    return _warmup_stable_decay(rates, total_steps, {"stable_steps": 0, "decay_shape": "cosine"} | options)


def _warmup_stable_decay(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    """The phases that are not given fill up `total_steps`: 5% warmup, a fifth of the steps for the fall."""
    warmup_steps = options.setdefault("warmup_steps", _steps(total_steps, 0.05))
    left = total_steps - validation.steps("warmup_steps", warmup_steps, least=0)
    if "decay_steps" not in options:
        stable_steps = options.setdefault("stable_steps", left - _steps(total_steps, 0.2))
        options["decay_steps"] = left - validation.steps("stable_steps", stable_steps, least=0)
    options.setdefault("stable_steps", left - validation.steps("decay_steps", options["decay_steps"]))
    return WarmupStableDecay(rates.best, **options)


def _inverse_sqrt(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    return InverseSqrt(rates.best, **({"warmup_steps": _steps(total_steps, 0.1)} | options))


def _polynomial(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    warmup_steps = validation.steps("warmup_steps", options.pop("warmup_steps", _steps(total_steps, 0.05)), least=0)
    defaults = {"decay_steps": max(1, total_steps - warmup_steps), "warmup_steps": warmup_steps}
    return Polynomial(rates.best, **(defaults | options))


def _flat_cosine(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    return FlatCosine(rates.best, total_steps, **options)


def _cosine_restarts(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    # Three cycles of lengths 1, 2 and 4 fill seven parts exactly.
    defaults = {"first_decay_steps": _steps(total_steps, 1 / 7), "t_mul": 2.0}
    return CosineRestarts(rates.best, **(defaults | options))


_BUILDERS: dict[str, Callable[[_Rates, int, dict[str, Any]], Any]] = {
    "one_cycle": _one_cycle,
    "cyclical": _cyclical,
    "warmup_cosine": _warmup_cosine,
    "warmup_stable_decay": _warmup_stable_decay,
    "inverse_sqrt": _inverse_sqrt,
    "polynomial": _polynomial,
    "flat_cosine": _flat_cosine,
    "cosine_restarts": _cosine_restarts,
}

KINDS = tuple(_BUILDERS)
"""The kinds of schedule that `from_suggestion` builds."""


def from_suggestion(suggestion: Suggestion | RangeTestResult, kind: str, *, total_steps: int, **options: Any) -> Any:
    """Builds a schedule around a suggested learning rate.

    The suggested rate becomes the highest rate of the schedule, except for "cyclical", which rises from the low to the
    high end of the suggested range four times.

    Args:
        suggestion: A `Suggestion`, or a `RangeTestResult` that contains one.
        kind: "one_cycle", "cyclical", "warmup_cosine", "warmup_stable_decay", "inverse_sqrt", "polynomial",
            "flat_cosine" or "cosine_restarts".
        total_steps: Number of optimizer steps of the whole training, at least 10: epochs times batches per epoch.
        **options: Further arguments of the schedule, which override those derived from `total_steps`.

    Returns:
        A Keras schedule, to be passed to an optimizer as its `learning_rate`.

    Raises:
        InvalidArgumentError: The suggestion has no learning rate (confidence "none"), or another argument is out of
            its range.
        InvalidRangeError: `kind` is "cyclical" and the suggested range is a single rate.

    Source:
        Smith 2017, arXiv:1506.01186, for the base and the top of a cycle; the fractions of `total_steps` are custom.
    """
    validation.choice("kind", kind, KINDS)
    rates = _suggested_rates(suggestion)
    return _BUILDERS[kind](rates, validation.steps("total_steps", total_steps, least=10), dict(options))


def _suggested_rates(suggestion: Suggestion | RangeTestResult) -> _Rates:
    found = suggestion.suggestion if isinstance(suggestion, RangeTestResult) else suggestion
    if not isinstance(found, Suggestion):
        raise InvalidArgumentError(
            f"`suggestion` must be a Suggestion or a RangeTestResult. Received: {type(suggestion).__name__}. "
            "Pass what `suggest` or `find_lr` returned."
        )
    if found.low is None or found.learning_rate is None or found.high is None:
        raise InvalidArgumentError(
            f'`suggestion` must hold a learning rate. Received: confidence "none" ({found.reason}) '
            "Repeat the range test as advised, or construct the schedule with a rate of your own."
        )
    return _Rates(found.low, found.learning_rate, found.high)
