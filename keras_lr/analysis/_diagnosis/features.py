"""Features of a run's curves that keep their value when the loss is scaled or shifted, or a metric is renamed."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis._diagnosis.decay import promised_gain
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._statistics import block_means, compress, rank_trend, share

MAX_POINTS = 25
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
FEATURE_NAMES = (*LOSS_FEATURES, *VALIDATION_FEATURES, *METRIC_FEATURES)


def features(history: TrainingHistory) -> np.ndarray:
    """The features named in `FEATURE_NAMES`, shape `(18,)`; those of a metric are NaN where none was recorded."""
    loss, validation = courses(history)
    return np.array([*_of_loss(loss), *_of_validation(loss, validation), *_of_metric(history)])


def courses(history: TrainingHistory) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the validation loss of the epochs that have both, each of shape `(n,)` with `n <= MAX_POINTS`.

    The loss stands in where validation has under three epochs. A longer series is averaged in blocks: the verdict is
    about the course of the whole run.
    """
    loss = history.loss
    validation = history.val_loss if is_validated(history) and history.val_loss is not None else loss
    both = np.isfinite(loss) & np.isfinite(validation)
    return block_means(loss[both], MAX_POINTS), block_means(validation[both], MAX_POINTS)


def is_validated(history: TrainingHistory) -> bool:
    """Whether at least three epochs have both losses."""
    return history.val_loss is not None and int((np.isfinite(history.loss) & np.isfinite(history.val_loss)).sum()) >= 3


def _of_loss(loss: np.ndarray) -> list[float]:
    half, fall = loss.size // 2, loss[0] - loss.min()
    lowest = np.minimum.accumulate(loss)
    return [
        rank_trend(loss),
        compress(share(loss[0] - loss[1], fall)),
        compress(share(_after(lowest, 1 / 4) - _after(lowest, 1 / 2), fall)),
        compress(share(_after(lowest, 1 / 2) - lowest[-1], fall)),
        compress(share(_step(loss[half - 1 :]), loss[0] - _best(loss))),
    ]


def _of_validation(loss: np.ndarray, validation: np.ndarray) -> list[float]:
    half, third = loss.size // 2, max(1, loss.size // 3)
    lowest = np.minimum.accumulate(validation)
    reach = max(loss[0], validation[0]) - lowest[-1]
    gain, rest = promised_gain(validation)
    return [
        float(np.mean(np.diff(validation) > 0)),
        _roughness(validation),
        compress(share(_step(validation[half - 1 :]), loss[0] - _best(loss))),
        compress(share(_after(lowest, 2 / 3) - lowest[-1], reach)),
        compress(share(gain, rest)),
        compress(share(lowest[-1] - loss[1], loss[0] - _best(loss))),
        float(np.clip(share(loss[0] - validation[0], abs(loss[0] - loss[1])), -5, 5)),
        float(np.mean(loss[half:] > validation[half:])),
        compress(
            share(
                validation[-third:].mean() - loss[-third:].mean(),
                max(loss[0], validation[0]) - min(loss.min(), validation.min()),
            )
        ),
    ]


def _of_metric(history: TrainingHistory) -> list[float]:
    if history.metric is None or history.val_metric is None:
        return [np.nan] * len(METRIC_FEATURES)
    metric, validation = (
        block_means(series[np.isfinite(series)], MAX_POINTS) for series in (history.metric, history.val_metric)
    )
    return [float(validation.max()), float(metric[-1]), float(metric[0]), float(np.ptp(validation))]


def _best(values: np.ndarray) -> float:
    return float(np.sort(values)[:2].mean())


def _after(values: np.ndarray, part: float) -> float:
    """The value once `part` of the epochs are done."""
    return float(values[max(0, int(np.ceil(values.size * part)) - 1)])


def _step(values: np.ndarray) -> float:
    return float(np.median(np.abs(np.diff(values))))


def _roughness(values: np.ndarray) -> float:
    """Log10 of how far steps differ from their neighbours against how large they are: low for a smooth course."""
    floor = 1e-9 * np.ptp(values)
    if not floor > 0:
        return 0.0
    return float(np.log10((np.median(np.abs(np.diff(values, 2))) + floor) / (_step(values) + floor)))
