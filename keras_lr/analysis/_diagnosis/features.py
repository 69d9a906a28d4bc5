"""Features of a run's curves that do not change when the loss is scaled, or a metric is renamed.

Only the share of the untrained loss that was removed depends on where the loss is zero.
"""

from __future__ import annotations

import numpy as np

from keras_lr.analysis._diagnosis.decay import extrapolated_fall
from keras_lr.analysis._diagnosis.history import RunContext, TrainingHistory
from keras_lr.analysis._statistics import block_means, compress, median_change, rank_trend, ratio

# A longer series is averaged in blocks, because the verdict is about the course of the whole run.
MAX_POINTS = 25
MIN_VALIDATED_EPOCHS = 3
MIN_METRIC_EPOCHS = 3
NO_CONTEXT = RunContext()

LOSS_FEATURES = (
    "trend",
    "first_epoch_share",
    "second_quarter_gain",
    "second_half_gain",
    "late_step",
    "rises",
    "roughness",
    "late_gain",
    "promise",
    "half_way",
    "most_way",
    "lowest_at",
    "end_rise",
    "largest_rise",
)
VALIDATION_FEATURES = (
    "validation_rises",
    "validation_roughness",
    "validation_step",
    "validation_late_gain",
    "validation_promise",
    "validation_reach",
    "first_validation",
    "training_above",
    "final_gap",
    "validation_half_way",
    "validation_most_way",
    "validation_lowest_at",
    "validation_end_rise",
    "validation_largest_rise",
)
METRIC_FEATURES = ("first_metric", "last_metric", "metric_change")
VALIDATION_METRIC_FEATURES = ("best_validation_metric", "validation_metric_change")
UNTRAINED_FEATURES = ("untrained_first_gain", "untrained_last_gain", "untrained_share", "above_untrained")
UNTRAINED_VALIDATION_FEATURES = ("untrained_first_validation", "untrained_validation_share")
RATE_FEATURES = ("rate_position",)
FEATURE_NAMES = (
    *LOSS_FEATURES,
    *VALIDATION_FEATURES,
    *METRIC_FEATURES,
    *VALIDATION_METRIC_FEATURES,
    *UNTRAINED_FEATURES,
    *UNTRAINED_VALIDATION_FEATURES,
    *RATE_FEATURES,
)


def features(history: TrainingHistory, context: RunContext = NO_CONTEXT) -> dict[str, float]:
    """The features by their names in `FEATURE_NAMES`, dimensionless; NaN for those that need what is unknown.

    Args:
        history: At least three epochs, with a loss that is not constant.
        context: What else is known of the run.
    """
    loss, validation = loss_curves(history)
    validated = is_validated(history)
    found = dict.fromkeys(FEATURE_NAMES, np.nan)
    found |= dict(zip(LOSS_FEATURES, _loss_features(loss), strict=True))
    if validated:
        found |= dict(zip(VALIDATION_FEATURES, _validation_features(loss, validation), strict=True))
    found |= _metric_features(history)
    if context.start_loss is not None:
        found |= _untrained_features(loss, validation if validated else None, context.start_loss)
    if context.rate_position is not None:
        found["rate_position"] = context.rate_position
    return found


def loss_curves(history: TrainingHistory) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the validation loss of the epochs that have both, each of shape `(n,)` with `n <= MAX_POINTS`.

    Both are the training loss if fewer than three epochs were validated.
    """
    loss = history.loss
    validation = history.val_loss if is_validated(history) and history.val_loss is not None else loss
    both = np.isfinite(loss) & np.isfinite(validation)
    return block_means(loss[both], MAX_POINTS), block_means(validation[both], MAX_POINTS)


def is_validated(history: TrainingHistory) -> bool:
    """Whether at least three epochs have both losses."""
    if history.val_loss is None:
        return False
    both = np.isfinite(history.loss) & np.isfinite(history.val_loss)
    return int(both.sum()) >= MIN_VALIDATED_EPOCHS


def _loss_features(loss: np.ndarray) -> list[float]:
    """`LOSS_FEATURES`: Kendall's tau, parts of the fall in which the run made its gains, and how it moved."""
    half, fall = loss.size // 2, loss[0] - loss.min()
    lowest = np.minimum.accumulate(loss)
    further_fall, noise = extrapolated_fall(loss)
    return [
        rank_trend(loss),
        compress(ratio(loss[0] - loss[1], fall)),
        compress(ratio(_value_at(lowest, 1 / 4) - _value_at(lowest, 1 / 2), fall)),
        compress(ratio(_value_at(lowest, 1 / 2) - lowest[-1], fall)),
        compress(ratio(median_change(loss[half - 1 :]), loss[0] - _two_lowest(loss))),
        float(np.mean(np.diff(loss) > 0)),
        _roughness(loss),
        compress(ratio(_value_at(lowest, 2 / 3) - lowest[-1], fall)),
        compress(ratio(further_fall, noise)),
        *_places(loss),
        *_largest_rises(loss, fall),
    ]


def _validation_features(loss: np.ndarray, validation: np.ndarray) -> list[float]:
    """`VALIDATION_FEATURES`: how validation moves by itself, then how it compares with the training loss."""
    half, third = loss.size // 2, max(1, loss.size // 3)
    lowest = np.minimum.accumulate(validation)
    total_fall = max(loss[0], validation[0]) - lowest[-1]
    further_fall, noise = extrapolated_fall(validation)
    return [
        float(np.mean(np.diff(validation) > 0)),
        _roughness(validation),
        compress(ratio(median_change(validation[half - 1 :]), loss[0] - _two_lowest(loss))),
        compress(ratio(_value_at(lowest, 2 / 3) - lowest[-1], total_fall)),
        compress(ratio(further_fall, noise)),
        compress(ratio(lowest[-1] - loss[1], loss[0] - _two_lowest(loss))),
        float(np.clip(ratio(loss[0] - validation[0], abs(loss[0] - loss[1])), -5, 5)),
        float(np.mean(loss[half:] > validation[half:])),
        compress(
            ratio(
                validation[-third:].mean() - loss[-third:].mean(),
                max(loss[0], validation[0]) - min(loss.min(), validation.min()),
            )
        ),
        *_places(validation),
        *_largest_rises(validation, total_fall),
    ]


def _metric_features(history: TrainingHistory) -> dict[str, float]:
    """`METRIC_FEATURES` and `VALIDATION_METRIC_FEATURES` as far as recorded, in the metric's own unit."""
    found: dict[str, float] = {}
    metric = _known(history.accuracy if history.metric is None else history.metric)
    if metric.size >= MIN_METRIC_EPOCHS:
        found |= {"first_metric": metric[0], "last_metric": metric[-1], "metric_change": np.ptp(metric)}
        if (validation := _known(history.val_metric)).size >= MIN_METRIC_EPOCHS:
            found |= {"best_validation_metric": validation.max(), "validation_metric_change": np.ptp(validation)}
    return {name: float(value) for name, value in found.items()}


def _untrained_features(loss: np.ndarray, validation: np.ndarray | None, untrained: float) -> dict[str, float]:
    """`UNTRAINED_FEATURES`, and `UNTRAINED_VALIDATION_FEATURES` with validation.

    Gains are parts of the whole way down, from the higher of the untrained and the first loss to the lowest.
    """
    lowest = float(min(loss.min(), loss.min() if validation is None else validation.min()))
    fall, last = max(untrained, loss[0]) - lowest, loss[-max(1, loss.size // 5) :].mean()
    scale = abs(untrained)

    def share(part: float) -> float:
        return float(np.clip(ratio(part, scale), -2.0, 1.5))

    found = {
        "untrained_first_gain": compress(ratio(untrained - loss[0], fall)),
        "untrained_last_gain": compress(ratio(untrained - last, fall)),
        "untrained_share": share(untrained - loss.min()),
        "above_untrained": max(0.0, compress(ratio(loss.max() - untrained, scale))),
    }
    if validation is not None:
        found |= {
            "untrained_first_validation": compress(ratio(untrained - validation[0], fall)),
            "untrained_validation_share": share(untrained - validation.min()),
        }
    return found


def _known(series: np.ndarray | None) -> np.ndarray:
    """The finite values, in at most `MAX_POINTS` blocks; empty for a series that was not recorded."""
    return np.empty(0) if series is None else block_means(series[np.isfinite(series)], MAX_POINTS)


def _two_lowest(values: np.ndarray) -> float:
    """Mean of the two lowest values."""
    return float(np.sort(values)[:2].mean())


def _value_at(values: np.ndarray, fraction: float) -> float:
    """The value after this fraction of the epochs."""
    return float(values[max(0, int(np.ceil(values.size * fraction)) - 1)])


def _places(values: np.ndarray) -> list[float]:
    """Where in the run, from 0 to 1, half of the fall was made, nine tenths of it, and the lowest value reached."""
    last, fallen = values.size - 1, values[0] - np.minimum.accumulate(values)
    if not fallen[-1] > 0:
        return [1.0, 1.0, 0.0]
    return [float(np.argmax(fallen >= part * fallen[-1])) / last for part in (1 / 2, 9 / 10, 1)]


def _largest_rises(values: np.ndarray, fall: float) -> list[float]:
    """How far the last third lies above the lowest value, and the largest rise of an epoch, as parts of the fall."""
    third = max(1, values.size // 3)
    rises = (values[-third:].mean() - values.min(), max(0.0, np.diff(values).max()))
    return [compress(ratio(rise, fall)) for rise in rises]


def _roughness(values: np.ndarray) -> float:
    """Log10 of the median second difference over the median step: low for a smooth curve."""
    floor = 1e-9 * np.ptp(values)
    if not floor > 0:
        return 0.0
    return float(np.log10((median_change(np.diff(values)) + floor) / (median_change(values) + floor)))
