"""From named columns to the series of a run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr.errors import CurveError

MIN_VALUES = 3

MIN_EPOCHS = 3
LEARNING_RATE_NAMES = ("learning_rate", "lr")
STEP_NAMES = ("step", "batch", "iteration")
COUNTER_NAMES = ("epoch", *STEP_NAMES)
MOST_EPOCHS = 2**53
VALIDATION_WORDS = frozenset({"val", "valid", "validation", "eval", "test"})
HIGHER_IS_BETTER = ("accuracy", "acc", "auc", "precision", "recall", "f1", "iou", "r2", "cosine_similarity", "top_k")


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """The series of one run.

    Attributes:
        epochs: Distinct epochs (or steps), increasing, shape `(n,)`, int64.
        loss: Loss to be lowered, shape `(n,)`, float64; the negated metric where only a metric was recorded.
        val_loss: The same on validation data, shape `(n,)`, NaN where not evaluated; None where never.
        learning_rates: Dimensionless, shape `(n,)`; None where not recorded.
        monitor: Name of the series in `loss`.
        unit: What `epochs` counts.
        metric: A metric beside the loss in [0, 1] that grows as the loss falls, such as accuracy, shape `(n,)`; None
            where there is none. It is known by its values, whatever its name.
        val_metric: The same on validation data, shape `(n,)`, NaN where not evaluated; None with it.
    """

    epochs: np.ndarray
    loss: np.ndarray
    val_loss: np.ndarray | None
    learning_rates: np.ndarray | None
    monitor: str
    unit: Literal["epoch", "step"] = "epoch"
    metric: np.ndarray | None = None
    val_metric: np.ndarray | None = None

    @property
    def learning_rate(self) -> float | None:
        """The median of the positive recorded learning rates, None where there is none."""
        if self.learning_rates is None:
            return None
        usable = self.learning_rates[np.isfinite(self.learning_rates) & (self.learning_rates > 0)]
        return float(np.median(usable)) if usable.size else None


def spread(values: np.ndarray, size: int) -> np.ndarray:
    """A validation series over all `size` epochs: with `validation_freq=k`, Keras records only every k-th."""
    if values.size == size:
        return values
    if values.size == 0 or values.size > size:
        raise CurveError(
            f"A validation series must be no longer than the loss. Received: {values.size} and {size} rows. Align them."
        )
    every = size // values.size
    spread = np.full(size, np.nan)
    spread[every - 1 :: every][: values.size] = values
    return spread


def find_metric(
    arrays: Mapping[str, np.ndarray], rows: np.ndarray, loss: np.ndarray, *, size: int, taken: set[str]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """A metric in [0, 1] that grows as the loss falls, on training and on validation data.

    Of several, such as accuracy and top-5 accuracy, the strictest: the one with the lowest mean.

    Args:
        arrays: Every column by its name.
        rows: Rows to read, shape `(n,)`.
        loss: The judged loss at these rows, shape `(n,)`.
        size: Number of rows before any was dropped.
        taken: Names of columns that are something else.

    Returns:
        Both series, each of shape `(n,)`; two None where no metric is of this kind.
    """
    found = []
    for name, values in arrays.items():
        twin = arrays.get(f"val_{name}")
        if name in taken or twin is None or values.size != size:
            continue
        if not 0 < twin.size <= size:
            continue
        metric, validation = values[rows], spread(twin, size)[rows]
        if _is_share(metric) and _is_share(validation) and _grows_as_falls(metric, loss):
            found.append((metric, validation))
    return min(found, key=lambda pair: float(np.nanmean(pair[0])), default=(None, None))


def _is_share(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return known.size >= MIN_VALUES and bool(known.min() >= 0 and known.max() <= 1)


def _grows_as_falls(metric: np.ndarray, loss: np.ndarray) -> bool:
    both = np.isfinite(metric) & np.isfinite(loss)
    if both.sum() < MIN_VALUES:
        return False
    known = loss[both] - loss[both].mean()
    return bool((metric[both] - metric[both].mean()) @ known < 0)


def from_columns(columns: Mapping[str, Any]) -> TrainingHistory:
    """The history in `columns`, name to series, each of shape `(n,)`.

    Epochs that come twice, as after resuming from a backup, keep their last row.

    Raises:
        CurveError: No loss column, columns of mixed lengths, values that are no numbers, or fewer than three epochs,
            all finite.
    """
    arrays = {str(name): _numbers(str(name), values) for name, values in columns.items()}
    monitor = _monitor(arrays)
    lengths = {name: array.size for name, array in arrays.items()}
    size = lengths[monitor]
    val_name = f"val_{monitor}"
    wanted = {name for name in (monitor, val_name, *LEARNING_RATE_NAMES, *COUNTER_NAMES) if name in arrays}
    if odd := {name: lengths[name] for name in sorted(wanted) if lengths[name] != size and name != val_name}:
        raise CurveError(
            f"All columns must have one length. Received: {monitor} with {size} rows, others with {odd}. "
            "Write NaN for a missing value."
        )
    sign = -1.0 if is_higher_better(monitor) else 1.0
    counter = _counter(arrays)
    epochs = arrays[counter] if counter else np.arange(size, dtype=np.float64)
    if not (np.abs(epochs) < MOST_EPOCHS).all():
        raise CurveError(
            f"The column `{counter}` must hold whole numbers below 2**53. Received: missing or larger ones. "
            "Drop it, or fill it."
        )
    rows = _last_rows(epochs)
    loss = sign * arrays[monitor][rows]
    _check(loss, monitor)
    rates = next((arrays[name][rows] for name in LEARNING_RATE_NAMES if name in arrays), None)
    val_loss = sign * spread(arrays[val_name], size)[rows] if val_name in arrays else None
    if val_loss is not None and np.isnan(val_loss).all() and np.isfinite(loss).all():
        val_loss = None
    unit: Literal["epoch", "step"] = "step" if counter in STEP_NAMES else "epoch"
    metric, val_metric = find_metric(arrays, rows, loss, size=size, taken=wanted)
    return TrainingHistory(epochs[rows].astype(np.int64), loss, val_loss, rates, monitor, unit, metric, val_metric)


def is_higher_better(name: str) -> bool:
    """True for metrics that grow as the model gets better, such as accuracy and AUC; never for a loss."""
    words = name.lower().removeprefix("val_")
    return "loss" not in words and any(word in words.split("_") or words.endswith(word) for word in HIGHER_IS_BETTER)


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        series = pd.Series(_listed(values))
        if series.dtype == object or pd.api.types.is_string_dtype(series):
            series = series.replace({"NA": np.nan, "": np.nan, "None": np.nan})
        numbers = pd.to_numeric(series).to_numpy(dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        if name != "loss" and not name.endswith("_loss") and name not in (*COUNTER_NAMES, *LEARNING_RATE_NAMES):
            # NumPy has no shape for a list with lists of several lengths in it.
            return np.full(len(values) if isinstance(values, (list, tuple)) else np.shape(values)[:1] or (1,), np.nan)
        received = str(err).rstrip(".")
        raise CurveError(
            f"The column `{name}` must hold numbers. Received: {received}. Remove what is no number."
        ) from err
    # What float32 cannot hold has overflowed in training too, and its square would overflow here.
    return np.where(np.abs(numbers) > np.finfo(np.float32).max, np.copysign(np.inf, numbers), numbers)


def _listed(values: Any) -> Any:
    """The values of a column, which pandas may have written by their row; scalar tensors and arrays as numbers."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        return [np.asarray(value)[()] if getattr(value, "shape", None) == () else value for value in values]
    return values if np.ndim(values) else [values]


def _monitor(arrays: Mapping[str, np.ndarray]) -> str:
    if "loss" in arrays:
        return "loss"
    usable = [name for name in arrays if not name.startswith("val_") and np.isfinite(arrays[name]).any()]
    # Elsewhere than in Keras a validation loss is called "val/loss" or "eval_loss" and may come first.
    usable.sort(key=lambda name: not VALIDATION_WORDS.isdisjoint(re.split(r"[\W_]+", name.lower())))
    for suitable in (
        lambda name: "loss" in name.lower(),
        lambda name: name.lower() in ("mse", "mae"),
        is_higher_better,
    ):
        for name in usable:
            if suitable(name):
                return name
    raise CurveError(f"A history must have a `loss` column. Received: {sorted(arrays)[:12]}. Name the series `loss`.")


def _counter(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The column that counts: where a step stands beside its epoch, the one with more distinct values."""
    present = [name for name in COUNTER_NAMES if name in arrays]
    return max(present, key=lambda name: np.unique(arrays[name]).size, default=None)


def _last_rows(epochs: np.ndarray) -> np.ndarray:
    """Indices of each epoch's last row, in order of epoch."""
    if (np.diff(epochs) > 0).all():
        return np.arange(epochs.size)
    _, last = np.unique(epochs[::-1], return_index=True)
    return np.asarray(epochs.size - 1 - last)


def _check(loss: np.ndarray, monitor: str) -> None:
    # A loss that is not finite says all it has to say at once.
    if loss.size == 0 or (loss.size < MIN_EPOCHS and np.isfinite(loss).all()):
        raise CurveError(
            f"A history must have at least {MIN_EPOCHS} epochs. Received: {loss.size} of `{monitor}`. Train longer."
        )


def kept_rows(history: TrainingHistory, *, max_points: int) -> np.ndarray:
    """Indices of at most `max_points` rows that keep both ends and each stretch's lowest and highest loss.

    Args:
        history: The run.
        max_points: At least 8.

    Returns:
        Increasing indices, shape `(k,)`; all of them where the history is no longer than `max_points`.
    """
    size = history.loss.size
    if size <= max_points:
        return np.arange(size)
    series = [history.loss] if history.val_loss is None else [history.loss, history.val_loss]
    stretches = (max_points - 2) // (2 * len(series))
    edges = np.linspace(0, size, stretches + 1).astype(int)
    kept = {0, size - 1}
    for values in series:
        for start, stop in itertools.pairwise(edges):
            finite = start + np.flatnonzero(np.isfinite(values[start:stop]))
            if finite.size:
                kept |= {int(finite[np.argmin(values[finite])]), int(finite[np.argmax(values[finite])])}
    return np.array(sorted(kept))
