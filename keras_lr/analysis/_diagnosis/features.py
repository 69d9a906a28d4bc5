"""Features of a run's curves that do not change when the loss is scaled or shifted, or a metric is renamed."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis._diagnosis.decay import extrapolated_fall
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._statistics import block_means, compress, median_change, rank_trend, ratio

# A longer series is averaged in blocks, because the verdict is about the course of the whole run.
MAX_POINTS = 25
MIN_VALIDATED_EPOCHS = 3

LOSS_FEATURES = (
    "trend",
    "first_epoch_share",
    "second_quarter_gain",
    "second_half_gain",
    "late_step",
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
)
METRIC_FEATURES = ("best_validation_metric", "last_metric", "first_metric", "validation_metric_rise")
# In the order of the scorecard's table.
FEATURE_NAMES = (*LOSS_FEATURES, *VALIDATION_FEATURES, *METRIC_FEATURES)


def features(history: TrainingHistory) -> np.ndarray:
    """The features named in `FEATURE_NAMES`, dimensionless, shape `(18,)`; those of a metric are NaN without one."""
    loss, validation = loss_curves(history)
    return np.array([*_loss_features(loss), *_validation_features(loss, validation), *_metric_features(history)])


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
    """`LOSS_FEATURES`: Kendall's tau, then parts of the fall in which the run made its gains, and its late steps."""
    half, fall = loss.size // 2, loss[0] - loss.min()
    lowest = np.minimum.accumulate(loss)
    return [
        rank_trend(loss),
        compress(ratio(loss[0] - loss[1], fall)),
        compress(ratio(_value_at(lowest, 1 / 4) - _value_at(lowest, 1 / 2), fall)),
        compress(ratio(_value_at(lowest, 1 / 2) - lowest[-1], fall)),
        compress(ratio(median_change(loss[half - 1 :]), loss[0] - _two_lowest(loss))),
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
    ]


def _metric_features(history: TrainingHistory) -> list[float]:
    """`METRIC_FEATURES`, in the metric's own unit."""
    if history.metric is None or history.val_metric is None:
        return [np.nan] * len(METRIC_FEATURES)
    metric, validation = (
        block_means(series[np.isfinite(series)], MAX_POINTS) for series in (history.metric, history.val_metric)
    )
    return [float(validation.max()), float(metric[-1]), float(metric[0]), float(np.ptp(validation))]


def _two_lowest(values: np.ndarray) -> float:
    """Mean of the two lowest values."""
    return float(np.sort(values)[:2].mean())


def _value_at(values: np.ndarray, fraction: float) -> float:
    """The value after this fraction of the epochs."""
    return float(values[max(0, int(np.ceil(values.size * fraction)) - 1)])


def _roughness(values: np.ndarray) -> float:
    """Log10 of the median second difference over the median step: low for a smooth curve."""
    floor = 1e-9 * np.ptp(values)
    if not floor > 0:
        return 0.0
    return float(np.log10((median_change(np.diff(values)) + floor) / (median_change(values) + floor)))
