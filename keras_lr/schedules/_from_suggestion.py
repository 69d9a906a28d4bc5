"""Building a schedule around the learning rate that a range test suggests, and counting its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._range_test import RangeTestResult, Suggestion
from keras_lr.schedules._composed import Resumed
from keras_lr.schedules._cycles import CosineRestarts, Cyclical, OneCycle
from keras_lr.schedules._decays import FlatCosine, InverseSqrt, Polynomial, WarmupStableDecay


class _Rates(NamedTuple):
    low: float
    best: float
    high: float


def _steps(total_steps: int, fraction: float) -> int:
    return max(1, round(total_steps * fraction))


def _one_cycle(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    return OneCycle(rates.best, total_steps, **options)


def _cyclical(rates: _Rates, total_steps: int, options: dict[str, Any]) -> Any:
    # Four cycles, rounded up: of a fifth one, only the rise would be left.
    cycle = math.ceil(total_steps / 4)
    defaults = {"up_steps": cycle // 2}
    if "up_steps" not in options:
        defaults["down_steps"] = cycle - cycle // 2
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
    # Three cycles of lengths 1, 2 and 4 fill seven parts; rounded down, they would leave steps of a fourth one.
    defaults = {"first_decay_steps": math.ceil(total_steps / 7), "t_mul": 2.0}
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


def from_suggestion(
    suggestion: Suggestion | RangeTestResult,
    kind: str,
    *,
    total_steps: int,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    **options: Any,
) -> Any:
    """Builds a schedule around a suggested learning rate.

    The suggested rate becomes the highest rate of the schedule, except for "cyclical", which rises from the low to the
    high end of the suggested range four times.

    Args:
        suggestion: A `Suggestion`, or a `RangeTestResult` that contains one.
        kind: "one_cycle", "cyclical", "warmup_cosine", "warmup_stable_decay", "inverse_sqrt", "polynomial",
            "flat_cosine" or "cosine_restarts".
        total_steps: Number of steps of the whole run, at least 10, as `total_steps` counts them.
        initial_epoch: As in `fit`, if a new optimizer continues the training, which would begin the schedule at its
            start: the schedule then begins where this epoch does. Leave it out for an optimizer that was saved.
        steps_per_epoch: Number of steps of an epoch; needed with `initial_epoch`.
        **options: Further arguments of the schedule, which override those derived from `total_steps`.

    Returns:
        A Keras schedule, to be passed to an optimizer as its `learning_rate`; a `Resumed` with `initial_epoch`.

    Raises:
        InvalidArgumentError: The suggestion has no learning rate (confidence "none"), or another argument is out of
            its range.
        InvalidRangeError: `kind` is "cyclical" and the suggested range is a single rate.

    Source:
        Smith 2017, arXiv:1506.01186, for the base and the top of a cycle; the fractions of `total_steps` are custom.

    Example:
        >>> keras_lr.schedules.from_suggestion(suggestion, "one_cycle", total_steps=1000)
    """
    validation.choice("kind", kind, KINDS)
    rates = _suggested_rates(suggestion)
    length = validation.steps("total_steps", total_steps, least=10)
    first = _first_step(initial_epoch, steps_per_epoch, length)
    schedule = _BUILDERS[kind](rates, length, dict(options))
    return Resumed(schedule, first) if first else schedule


def _first_step(initial_epoch: int, steps_per_epoch: int | None, length: int) -> int:
    epoch = validation.whole_number("initial_epoch", initial_epoch, least=0)
    if epoch == 0:
        return 0
    if steps_per_epoch is None:
        raise InvalidArgumentError(
            f"`steps_per_epoch` must be given with `initial_epoch`. Received: initial_epoch={epoch} alone. "
            "Pass the number of batches per epoch."
        )
    first = epoch * validation.whole_number("steps_per_epoch", steps_per_epoch)
    if first >= length:
        raise InvalidArgumentError(
            f"`initial_epoch * steps_per_epoch` must be less than `total_steps`. Received: {first} and {length}. "
            "Pass the steps of the whole run as `total_steps`, including those already done."
        )
    return first


def _suggested_rates(suggestion: Suggestion | RangeTestResult) -> _Rates:
    found = suggestion.suggestion if isinstance(suggestion, RangeTestResult) else suggestion
    if not isinstance(found, Suggestion):
        raise InvalidArgumentError(
            f"`suggestion` must be a Suggestion or a RangeTestResult. Received: {type(suggestion).__name__}. "
            "Pass what `suggest` or `find_lr` returned. With a rate of your own, construct the schedule itself."
        )
    if found.low is None or found.learning_rate is None or found.high is None:
        raise InvalidArgumentError(
            f'`suggestion` must hold a learning rate. Received: confidence "none" ({found.reason}) '
            "Repeat the range test as advised, or construct the schedule with a rate of your own."
        )
    return _Rates(found.low, found.learning_rate, found.high)


def total_steps(
    x: Any,
    *,
    epochs: int,
    batch_size: int | None = None,
    validation_split: float = 0.0,
    steps_per_epoch: int | None = None,
    steps_per_execution: int = 1,
    initial_epoch: int = 0,
) -> int:
    """The number of steps that a schedule sees during `model.fit` with the same arguments.

    Keras advances a schedule once per batch, also where `gradient_accumulation_steps` lets only some batches change the
    weights, so that this does not change the number. With `steps_per_execution`, an epoch of `steps_per_epoch` batches
    ends with a full execution if the data last.

    A fit with `initial_epoch` and a new optimizer begins the schedule at its start and makes only the steps of the
    epochs that remain; these are counted. An optimizer that was saved with its model continues where it was: leave
    `initial_epoch` out, for the schedule of the whole run.

    Args:
        x: As in `fit`: arrays of shape `(n_samples, ...)` or a list, tuple or dict of them, a batched
            `tf.data.Dataset`, a `PyDataset`, a generator or a loader of another library.
        epochs: The last epoch, as in `fit`, at least 1.
        batch_size: For arrays; None for 32 or, as in `fit`, for what divides them into `steps_per_epoch` batches.
        validation_split: Share of arrays in [0, 1) that `fit` holds back.
        steps_per_epoch: As in `fit`. Needed for a generator, for a loader of another library, such as PyTorch's
            `DataLoader`, and for a dataset that is infinite or of unknown size.
            Data of a known size that are shorter than `epochs * steps_per_epoch` begin again at the next epoch, as
            `fit` lets them.
        steps_per_execution: As in `compile`.
        initial_epoch: As in `fit`, less than `epochs`.

    Raises:
        InvalidArgumentError: An argument breaks its rule, or the length of an epoch is not known.

    Source:
        Custom; the steps are those that Keras's `fit` makes.

    Example:
        >>> keras_lr.schedules.total_steps(np.zeros((100, 4)), epochs=3, batch_size=32)
        12
    """
    last = validation.whole_number("epochs", epochs)
    first = validation.whole_number("initial_epoch", initial_epoch, least=0)
    if first >= last:
        raise InvalidArgumentError(
            f"`initial_epoch` must be less than `epochs`. Received: initial_epoch={first}, epochs={last}. "
            "Raise `epochs`, the number of the last epoch."
        )
    together = validation.whole_number("steps_per_execution", steps_per_execution)
    planned = None if steps_per_epoch is None else validation.whole_number("steps_per_epoch", steps_per_epoch)
    batches = _batches(x, batch_size, validation_split, planned)
    if batches is None:
        if planned is None:
            raise InvalidArgumentError(
                f"`steps_per_epoch` must be given for data whose length is not known. Received: {type(x).__name__}. "
                "Pass the number of batches per epoch."
            )
        return (last - first) * math.ceil(planned / together) * together
    if planned is None:
        return (last - first) * batches
    count = used = 0
    for _ in range(last - first):
        taken = min(math.ceil(planned / together) * together, batches - used)
        count += taken
        used = (used + taken) % batches
    return count


def _batches(x: Any, batch_size: int | None, validation_split: float, planned: int | None) -> int | None:
    """The number of batches in one pass over `x`; None if it has no end or is not known."""
    if isinstance(x, (keras.utils.PyDataset, tf.data.Dataset)):
        known = x.num_batches if isinstance(x, keras.utils.PyDataset) else int(x.cardinality())
        if known == 0:
            raise InvalidArgumentError(
                f"`x` must hold a batch to train on. Received: a {type(x).__name__} without any. Pass more samples, or "
                "batch them without `drop_remainder`."
            )
        return None if known is None or known < 0 else int(known)
    share = validation.share("validation_split", validation_split)
    leaves = keras.tree.flatten(x)
    if not leaves or not all(getattr(leaf, "shape", ()) for leaf in leaves):
        return None
    # As `fit` splits: the part that trains is rounded down.
    samples = math.floor(int(leaves[0].shape[0]) * (1 - share))
    if samples == 0:
        raise InvalidArgumentError(
            f"`x` must hold a sample to train on. Received: {leaves[0].shape[0]} samples, "
            f"validation_split={validation_split}. Pass more samples or lower `validation_split`."
        )
    if batch_size is None:
        batch_size = 32 if planned is None else math.ceil(samples / planned)
    return math.ceil(samples / validation.whole_number("batch_size", batch_size))
