"""Facts that settle a verdict, or rule one out, each with the sentence that says why.

What `settled_verdict` finds needs no weighing; it also asks whether a learning rate can explain the run at all.
`ruled_out` says which verdicts the scorecard may not give.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._diagnosis.features import is_validated, loss_curves
from keras_lr.analysis._diagnosis.history import ADAPTIVE_RATES, RunContext, TrainingHistory
from keras_lr.analysis._diverged import GAIN_LOST
from keras_lr.analysis._statistics import curvature_noise, reaches_zero
from keras_lr.results._diagnosis import Finding, Verdict

# The weights stand still if the training loss is this many times as noisy as the validation loss, ...
MIN_NOISE_RATIO = 5.0
# ... its first value lies within this many standard deviations of the later ones, ...
MAX_FIRST_OFFSET = 3.0
# ... and its noise is below this fraction of itself: the loss of unstable weights varies by more.
MAX_STILL_NOISE = 0.1

# A loss that ends above the untrained one by this factor is worse than that, whichever batch came first, ...
WORSE_FACTOR = 1.2
# ... provided that it changed by this fraction of itself: the first batch alone may be unusually easy.
MIN_CHANGE = 0.5
# A loss that rose by this fraction of its first value and never came below it.
MIN_RISE = 0.05
# After an explosion in the first epoch the loss has not changed any more if it stays within this fraction of itself.
SAME_SINCE = 0.03
# Outputs that cost so many times more than a constant output of the same accuracy are far too large, ...
OVERCONFIDENT = 5.0
# ... provided that this fraction of them and more is wrong: a penalty or smoothed labels cost as much.
MIN_WRONG = 0.01
# The accuracy is the same throughout if it changes by no more than this.
SAME_ACCURACY = 0.005
# A loss that falls by this fraction of itself should show in the accuracy.
SHOWING_FALL = 0.3
# An accuracy that is about zero throughout belongs to a regression, of which it says nothing.
NO_ACCURACY = 0.02

# Rules out "too low": the loss came down by this factor, ...
LEARNED_FACTOR = 10.0
# ... or rose this far above its first value, ...
RISEN_FACTOR = 1.5
# ... or above the untrained one, ...
EXPLODED_FACTOR = 3.0
# ... or made this part of its way down in the first epoch, a way of at least this fraction of the untrained loss.
QUICK_PART = 0.9
QUICK_FALL = 0.3
# A rate this many decades outside the optimizer's usual ones errs to that side, if at all.
FAR_DECADES = 1.0
# NaN from the start is not the rate's fault if the rate is this many decades below the highest usual one.
SAFE_DECADES = 1.0
# The loss of the untrained model, measured on one batch, is known to this fraction of itself.
SAME_LOSS = 0.25
# A loss that falls in its last third at this fraction of its mean speed has no lowest value in sight.
STEADY_SPEED = 0.5
# A loss that falls to this part of what a constant output costs has learned something, ...
LEARNED_PART = 0.9
# ... but nothing that holds for other data if the validation loss is never below this part.
UNLEARNED_PART = 0.97

# A metric stays the same on validation data alone, this far below the one on training data, which rose by this much.
MIN_GAP = 0.2
MIN_GAIN = 0.05
# Nothing was learned if the loss fell by less than this part of itself, and the accuracy changed by less than that.
LITTLE_FALL = 0.1
LITTLE_GAIN = 0.05
# An accuracy of this or more was reached before the first epoch ended.
HIGH_ACCURACY = 0.9
# A schedule lowered the rate by this factor or more: by half a decade, it is another rate.
DECAY_FACTOR = 10**0.5
# The beginning of a history is missing if more rows than these would fit before its first one.
MISSING_ROWS = 2

MIN_STEADY_EPOCHS = 3
# Three values have a single second difference, which says too little of the noise.
MIN_STILL_EPOCHS = 4


class Fact(NamedTuple):
    """A verdict that a fact settles, and why, in one sentence."""

    verdict: Verdict
    reason: str


def settled_verdict(history: TrainingHistory, context: RunContext, findings: Iterable[Finding]) -> Fact | None:
    """The verdict if one fact settles it; None if the curves have to be weighed.

    Args:
        history: The run.
        context: What else is known of it.
        findings: What `find_all` found in it.
    """
    monitor = f"`{history.monitor}`"
    finite = np.isfinite(history.loss)
    if not finite.all():
        return _not_finite(history, context, int(np.argmin(finite)))
    if history.opponent is not None:
        return Fact(
            "unclear",
            f"{monitor} is the loss of a network that trains against another, with `{history.opponent}`: it need not "
            "fall, and a rise is no sign of a wrong rate.",
        )
    if not np.ptp(history.loss) > 0:
        return _never_changed(history, context)
    if other := _other_cause(history, context):
        return other
    if reaches_zero(history.loss):
        return Fact("good", f"{monitor} reached 0, its lowest possible value.")
    # At a rate far below the usual ones, a loss that gets worse has another cause.
    if context.decades_below_usual < FAR_DECADES and (
        went_wrong := _gave_up_gain(history, context, findings) or _blown_up(history, context)
    ):
        return Fact("too_high", went_wrong)
    if stands_still(*loss_curves(history)):
        reason = (
            f"{monitor} only fluctuates and `{history.val_monitor}` barely changes: the weights are hardly moving. "
            "At a usual rate, look for labels that do not belong to the inputs."
        )
        return Fact("too_low", reason)
    return None


def ruled_out(history: TrainingHistory, context: RunContext) -> dict[Verdict, str]:
    """The verdicts that a fact excludes, each with the reason."""
    found: dict[Verdict, str] = {}
    if reason := _not_too_low(history, context):
        found["too_low"] = reason
    elif reason := _not_too_high(history, context):
        found["too_high"] = reason
    return found


def learned_nothing(history: TrainingHistory, context: RunContext) -> str:
    """Why the run cannot be called good, in one sentence: it learned next to nothing. Empty if it did."""
    loss, accuracy = history.loss, _finite(history.accuracy if history.metric is None else history.metric)
    if history.direction == "max":
        return ""
    baseline = context.baseline_loss or 0.0
    ends = [_last_part(known) for series in (loss, history.val_loss) if (known := _finite(series)).size]
    if baseline > 0 and min(ends) > UNLEARNED_PART * baseline and not _gains(accuracy):
        worse = "above" if min(ends) > WORSE_FACTOR * baseline else "not clearly below"
        return f"`{history.monitor}` ends at {ends[0]:.3g}, {worse} the {baseline:.3g} of the best constant output."
    if not loss[0] > 0 or accuracy.size < MIN_STEADY_EPOCHS:
        return ""
    fall = (loss[0] - loss.min()) / loss[0]
    if fall >= LITTLE_FALL or _gains(accuracy) or accuracy[-1] >= HIGH_ACCURACY:
        return ""
    return (
        f"`{history.monitor}` fell by {fall:.0%} only, and the metric stays near {np.median(accuracy):.2g}: the run "
        "has learned next to nothing."
    )


def not_comparable(history: TrainingHistory) -> str:
    """Why the curves of the run say less of its rate than those of others, in one sentence; empty if they do not.

    The scorecards were fitted on whole runs at constant rates. Under a schedule, a late fall or a quiet end is the
    schedule's work too; and where the beginning is missing, so is most of the fall.
    """
    between = float(np.median(np.diff(history.epochs))) if history.epochs.size > 1 else np.inf
    if history.epochs[0] > 1 + MISSING_ROWS * between:
        return f"The history begins at {history.unit} {history.epochs[0]}, so it does not show how training began."
    rates = _finite(history.learning_rates)
    if rates.size < MIN_STEADY_EPOCHS or not rates[-1] > 0 or rates.max() < DECAY_FACTOR * rates[-1]:
        return ""
    return (
        f"The learning rate went down from {format_rate(float(rates.max()))} to {format_rate(float(rates[-1]))} during "
        "the run, so the curves show the schedule as much as the rate."
    )


def stands_still(loss: np.ndarray, validation: np.ndarray) -> bool:
    """Whether the training loss only fluctuates around its first value while the validation loss barely changes.

    The training loss of an epoch varies with the order of the data, dropout and the last batch even if no weight
    changes; the validation loss depends on the weights alone. If it is far smoother, the weights hardly move between
    epochs. A first loss above the later ones excludes a network that moved at once and then stopped, because a far too
    high rate killed it.

    Args:
        loss: Training loss, shape `(n,)`.
        validation: Validation loss at the same epochs, shape `(n,)`.
    """
    if loss.size < MIN_STILL_EPOCHS:
        return False
    later = loss[1:] if loss.size > 4 else loss
    noise, level = curvature_noise(later), float(np.median(later))
    smoother = noise > MIN_NOISE_RATIO * curvature_noise(validation) and noise < MAX_STILL_NOISE * abs(level)
    return bool(smoother and abs(loss[0] - level) < MAX_FIRST_OFFSET * noise)


def _not_finite(history: TrainingHistory, context: RunContext, first: int) -> Fact:
    where = f"`{history.monitor}` is NaN or infinite"
    # Each step of an adaptive optimizer is about as long as its rate, whatever the gradient.
    adaptive = context.usual_rates == ADAPTIVE_RATES
    if first == 0 and adaptive and context.decades_above_usual <= -SAFE_DECADES:
        return Fact(
            "not_the_rate",
            f"{where} from the first {history.unit} on, although the learning rate is low: look for NaN in the inputs "
            "and targets, and for a logarithm or a division by zero in the loss.",
        )
    reason = f"{where} at {history.unit} {history.epochs[first]}."
    # Infinity comes from an explosion, NaN may come from the data.
    if first == 0 and np.isnan(history.loss).all():
        reason += " If the inputs or targets hold NaN, no rate helps: look there first."
    return Fact("too_high", reason)


def _never_changed(history: TrainingHistory, context: RunContext) -> Fact:
    reason = f"`{history.monitor}` never changed."
    untrained = context.untrained_loss
    if untrained is not None and abs(history.loss[0] - untrained) > SAME_LOSS * abs(untrained):
        return Fact(
            "too_high",
            f"{reason} It differs from the {untrained:.3g} of the untrained model, so the first steps changed the "
            "weights and killed the network: nothing has changed since.",
        )
    if context.decades_above_usual > 0:
        return Fact("too_high", f"{reason} The learning rate is above the usual range: it killed the network.")
    if not context.is_usual_rate:
        return Fact("unclear", reason)
    return Fact(
        "not_the_rate",
        f"{reason} The learning rate is in the usual range, so the output does not depend on the weights: look for "
        "frozen layers, a softmax over a single unit, or an activation that is saturated or cut off.",
    )


def _other_cause(history: TrainingHistory, context: RunContext) -> Fact | None:
    """What no learning rate fixes, if the curves show it."""
    if history.direction == "max":
        return None
    causes = (_below_zero, _metric_disagrees, _validation_stays, _never_better_than_constant, _learned_by_heart)
    return next((fact for cause in causes if (fact := cause(history, context))), None)


def _gave_up_gain(history: TrainingHistory, context: RunContext, findings: Iterable[Finding]) -> str:
    """From where on the loss diverged; empty if it ends better than it began, or kept half of what it had gained."""
    loss = history.loss
    divergence = next((finding for finding in findings if finding.kind == "divergence"), None)
    start = loss[0] if context.start_loss is None else max(loss[0], context.start_loss)
    if divergence is None or loss[-1] < loss[0] or loss[-1] - loss.min() < GAIN_LOST * (start - loss.min()):
        return ""
    onset = f"{history.unit} {divergence.start_epoch}"
    return f"`{history.monitor}` gets worse from {onset} on and ends no better than it began."


def _blown_up(history: TrainingHistory, context: RunContext) -> str:
    """Why the loss is worse than before training; empty if it is not shown to be."""
    if history.direction == "max":
        return ""
    loss, monitor = history.loss, f"`{history.monitor}`"
    if loss.min() >= loss[0] and loss.max() - loss[0] > MIN_RISE * abs(loss[0]):
        return f"{monitor} rose above its first value and never fell below it."
    level = float(np.median(loss))
    start, whose = _before_training(context)
    if start > 0 and np.ptp(loss) > MIN_CHANGE * level:
        last = _last_part(loss)
        if last > WORSE_FACTOR * start:
            return f"{monitor} ends at {last:.3g}, above the {start:.3g} of {whose}."
        if loss[0] > WORSE_FACTOR * max(start, level) and _is_same_since(loss[1:]):
            return (
                f"{monitor} rose to {loss[0]:.3g} in the first {history.unit}, above the {start:.3g} of {whose}, and "
                "has hardly changed since: the first steps killed the network."
            )
    accuracy = _finite(history.val_accuracy if history.accuracy is None else history.accuracy)
    # A cross-entropy has many classes if its accuracy is about zero, and is no regression.
    lowest = 0.0 if context.is_cross_entropy else NO_ACCURACY
    is_constant = _stays(accuracy, above=lowest) and np.median(accuracy) <= 1 - MIN_WRONG
    if is_constant and level > OVERCONFIDENT * max(_constant_cost(accuracy), np.log(2)):
        return (
            f"The accuracy stays at {np.median(accuracy):.3g}, which a constant output reaches too, at a `loss` of "
            f"about {_constant_cost(accuracy):.2g}; {monitor} is {level:.3g}: the outputs are huge."
        )
    return ""


def _is_same_since(later: np.ndarray) -> bool:
    return bool(later.size >= MIN_STILL_EPOCHS and np.ptp(later) <= SAME_SINCE * abs(np.median(later)))


def _before_training(context: RunContext) -> tuple[float, str]:
    """The loss before training and whose it is; 0 if it is unknown."""
    start = context.start_loss or 0.0
    return start, "the untrained model" if start == context.untrained_loss else "the best constant output"


def _below_zero(history: TrainingHistory, context: RunContext) -> Fact | None:
    loss = history.loss
    if not loss[-1] < 0 or context.may_be_negative:
        return None
    labels = "look for labels other than 0 and 1, a missing softmax or sigmoid, or the wrong loss"
    if context.is_cross_entropy:
        return Fact("not_the_rate", f"`{history.monitor}` is negative, which a cross-entropy never is: {labels}.")
    if loss[0] > 0 and loss.size >= MIN_STEADY_EPOCHS + 1 and _keeps_falling(loss):
        return Fact(
            "unclear",
            f"`{history.monitor}` falls through 0 without slowing down. A cross-entropy or a squared error cannot: "
            f"{labels}. No learning rate fixes that.",
        )
    return None


def _metric_disagrees(history: TrainingHistory, context: RunContext) -> Fact | None:
    loss, accuracy = history.loss, _finite(history.accuracy)
    fall = loss[0] - loss[-1]
    if not (_stays(accuracy) and fall > SHOWING_FALL * abs(loss[0])):
        return None
    cost = _constant_cost(accuracy)
    # A loss that came down from an explosion says nothing about the accuracy yet, nor does one that came down to that
    # of a constant output. A high accuracy need not rise.
    if loss[0] > OVERCONFIDENT * cost or loss[-1] > LEARNED_PART * cost or np.median(accuracy) >= HIGH_ACCURACY:
        return None
    if _not_too_low(history, context):
        return None
    return Fact(
        "not_the_rate",
        f"`{history.monitor}` fell by {fall / abs(loss[0]):.0%}, yet the accuracy stays at {np.median(accuracy):.3g}: "
        "the loss and the accuracy do not measure the same thing. Check the labels, the last activation and the loss.",
    )


def _validation_stays(history: TrainingHistory, _: RunContext) -> Fact | None:
    """A metric that rises on training data and never changes on validation data."""
    metric, validation = _finite(history.metric), _finite(history.val_metric)
    if validation.size < MIN_STILL_EPOCHS or np.ptp(validation) > SAME_ACCURACY:
        return None
    if metric[-1] - metric.min() < MIN_GAIN or metric[-1] - np.median(validation) < MIN_GAP:
        return None
    return Fact(
        "not_the_rate",
        f"The metric rose to {metric[-1]:.3g} on the training data, yet it stays at {np.median(validation):.3g} on the "
        "validation data, as for a constant output: check that the validation data are prepared in the same way. With "
        "BatchNormalization, check that an epoch has many steps.",
    )


def _never_better_than_constant(history: TrainingHistory, context: RunContext) -> Fact | None:
    """A rate from the default up, and a loss that stays at that of a constant output from the first epoch on."""
    baseline, loss = context.baseline_loss, history.loss
    if baseline is None or not context.is_usual_rate or context.is_below_default:
        return None
    near = max(MIN_RISE * abs(baseline), 2 * curvature_noise(loss))
    if np.abs(loss - baseline).max() > near or _improves_steadily(history):
        return None
    return Fact(
        "not_the_rate",
        f"`{history.monitor}` stays at {baseline:.3g}, the loss of the best constant output, at a usual learning rate: "
        "check the scale of the inputs, the activations, and that inputs and targets belong together.",
    )


def _learned_by_heart(history: TrainingHistory, context: RunContext) -> Fact | None:
    """A usual rate, and a loss that only fell on the training data, below that of a constant output."""
    known = context.untrained_loss if context.baseline_loss is None else context.baseline_loss
    if known is None or known <= 0 or not context.is_usual_rate or not is_validated(history):
        return None
    lowest = float(_finite(history.val_loss).min())
    if history.loss[-1] > LEARNED_PART * known or lowest < UNLEARNED_PART * known:
        return None
    what = "the untrained model" if context.baseline_loss is None else "the best constant output"
    return Fact(
        "not_the_rate",
        f"`{history.monitor}` fell to {history.loss[-1]:.3g}, yet `{history.val_monitor}` was never clearly below the "
        f"{known:.3g} of {what}: the network learns the training samples by heart. Check that inputs and targets "
        "belong together, that the validation data are prepared in the same way, and that there are enough samples.",
    )


def _not_too_low(history: TrainingHistory, context: RunContext) -> str:
    """Why the rate cannot have been too low; empty if it can."""
    loss, monitor = history.loss, f"`{history.monitor}`"
    if context.decades_above_usual >= FAR_DECADES:
        return f"The learning rate is far above the usual range, {_usual_rates(context)}."
    if history.direction == "max":
        return ""
    start, whose = _before_training(context)
    if start > 0:
        if loss.max() > EXPLODED_FACTOR * start:
            return f"{monitor} rose to {loss.max():.3g}, far above the {start:.3g} of {whose}."
        way = start - loss.min()
        quick = start - loss[0] >= QUICK_PART * way and way >= QUICK_FALL * start
        # The first batch may be unusually hard, and then a slow run too seems to have fallen at once.
        slow = context.decades_below_usual > 0 or _improves_steadily(history)
        if quick and not slow:
            return f"{monitor} fell almost entirely in the first {history.unit}."
    if loss[0] > 0 and loss.max() > RISEN_FACTOR * loss[0]:
        return f"{monitor} rose to {loss.max():.3g}, far above its first value of {loss[0]:.3g}."
    if loss.min() > 0 and loss[0] > LEARNED_FACTOR * loss.min():
        return f"{monitor} fell to less than a tenth of its first value."
    return ""


def _not_too_high(history: TrainingHistory, context: RunContext) -> str:
    """Why the rate cannot have been too high; empty if it can."""
    if context.decades_below_usual >= FAR_DECADES:
        return f"The learning rate is far below the usual range, {_usual_rates(context)}."
    if not _improves_throughout(history):
        return ""
    return f"`{history.monitor}` and `{history.val_monitor}` improved in every {history.unit}."


def _improves_throughout(history: TrainingHistory) -> bool:
    """Whether the loss falls from each epoch to the next, on training and validation data."""
    if not is_validated(history):
        return False
    return all(bool((np.diff(_finite(loss)) < 0).all()) for loss in (history.loss, history.val_loss))


def _improves_steadily(history: TrainingHistory) -> bool:
    return _improves_throughout(history) and _keeps_falling(history.loss)


def _keeps_falling(loss: np.ndarray) -> bool:
    """Whether the loss falls hardly slower in its last third than as a whole."""
    third = max(1, loss.size // 3)
    late, whole = (loss[-third - 1] - loss[-1]) / third, (loss[0] - loss[-1]) / (loss.size - 1)
    return bool(late >= STEADY_SPEED * whole)


def _usual_rates(context: RunContext) -> str:
    return " to ".join(map(format_rate, context.usual_rates or ()))


def _finite(series: np.ndarray | None) -> np.ndarray:
    return np.empty(0) if series is None else series[np.isfinite(series)]


def _last_part(series: np.ndarray) -> float:
    """The mean of the last fifth of a series of finite values."""
    return float(series[-max(1, series.size // 5) :].mean())


def _gains(accuracy: np.ndarray) -> bool:
    return bool(accuracy.size and np.ptp(accuracy) >= LITTLE_GAIN)


def _stays(accuracy: np.ndarray, *, above: float = NO_ACCURACY) -> bool:
    """Whether a classifier's accuracy is the same throughout."""
    return bool(accuracy.size and np.ptp(accuracy) <= SAME_ACCURACY and np.median(accuracy) > above)


def _constant_cost(accuracy: np.ndarray) -> float:
    """About the cross-entropy of a constant output with this accuracy, at most 99%.

    That is the logarithm of the number of classes if they are equally frequent, and the entropy of two if they are not.
    """
    right = min(float(np.median(accuracy)), 0.99)
    return float(max(-np.log(right), -right * np.log(right) - (1 - right) * np.log(1 - right)))
