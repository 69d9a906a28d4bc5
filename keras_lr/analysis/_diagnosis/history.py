"""The series of one run, picked out of named columns.

`from_columns` finds the series to judge, its validation twin, the learning rates, the column that counts epochs or
steps, and a metric beside the loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr.errors import CurveError
from keras_lr.results._diagnosis import Direction, direction_of

MIN_EPOCHS = 3
# float64 holds every integer below this.
MAX_EPOCH = 2**53
# A metric is compared with the loss over at least this many epochs.
MIN_METRIC_VALUES = 3

LEARNING_RATE_NAMES = ("learning_rate", "lr")
STEP_NAMES = ("step", "batch", "iteration")
COUNTER_NAMES = ("epoch", *STEP_NAMES)
# A series with one of these words in its name is taken for a validation series if another could be the training loss.
VALIDATION_WORDS = frozenset({"val", "valid", "validation", "eval", "test"})
ERROR_NAMES = ("mse", "mae")
MISSING_WORDS = ("NA", "", "None")


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """The series of one run.

    Attributes:
        epochs: Distinct epochs (or steps), increasing, shape `(n,)`, int64.
        values: The series that is judged, as recorded, shape `(n,)`, float64: the loss, or a metric if that is all
            there is.
        val_values: The same on validation data, shape `(n,)`, NaN where not evaluated; None if it never was.
        learning_rates: Dimensionless, shape `(n,)`; None if not recorded.
        monitor: Name of the series in `values`.
        direction: "min" if lower values are better, as of a loss, else "max".
        unit: What `epochs` counts.
        metric: A metric beside the loss, in [0, 1], that grows as the loss falls, such as accuracy, shape `(n,)`; None
            without one. It is recognised by its values, whatever its name.
        val_metric: The same on validation data, shape `(n,)`, NaN where not evaluated; None without `metric`.
    """

    epochs: np.ndarray
    values: np.ndarray
    val_values: np.ndarray | None
    learning_rates: np.ndarray | None
    monitor: str
    direction: Direction = "min"
    unit: Literal["epoch", "step"] = "epoch"
    metric: np.ndarray | None = None
    val_metric: np.ndarray | None = None

    @property
    def loss(self) -> np.ndarray:
        """`values` with the sign that makes lower better, shape `(n,)`: a metric that should grow is negated."""
        return self.values if self.direction == "min" else -self.values

    @property
    def val_loss(self) -> np.ndarray | None:
        """`val_values` with the sign of `loss`, shape `(n,)`; None without validation."""
        return self.val_values if self.direction == "min" or self.val_values is None else -self.val_values

    @property
    def learning_rate(self) -> float | None:
        """Median of the positive finite learning rates; None without any."""
        if self.learning_rates is None:
            return None
        usable = self.learning_rates[np.isfinite(self.learning_rates) & (self.learning_rates > 0)]
        return float(np.median(usable)) if usable.size else None


def from_columns(
    columns: Mapping[str, Any], *, monitor: str | None = None, direction: Direction | None = None
) -> TrainingHistory:
    """The history in named columns.

    If an epoch occurs twice, as after resuming from a backup, its last row counts.

    Args:
        columns: Each series by its name, shape `(n,)`; a validation series may be shorter, as with `validation_freq`.
        monitor: Name of the series to judge; by default `loss`, or what is most likely the training loss.
        direction: "min" if lower values are better, "max" if higher ones are; by default as the name suggests.

    Raises:
        CurveError: There is no series to judge, columns differ in length, values are not numbers, or there are fewer
            than three epochs, all finite.
    """
    arrays = {str(name): _numbers(str(name), values) for name, values in columns.items()}
    monitor = monitor or _find_monitor(arrays)
    size = arrays[monitor].size
    used = {name for name in (monitor, f"val_{monitor}", *LEARNING_RATE_NAMES, *COUNTER_NAMES) if name in arrays}
    _check_lengths({name: arrays[name].size for name in used}, monitor)
    counter = _find_counter(arrays)
    epochs = np.arange(size, dtype=np.float64) if counter is None else _checked_epochs(arrays[counter], counter)
    rows = _last_rows(epochs)
    values = arrays[monitor][rows]
    _check_count(values, monitor)
    direction = direction or direction_of(monitor)
    metric, val_metric = _find_metric(arrays, rows, values if direction == "min" else -values, size=size, used=used)
    return TrainingHistory(
        epochs=epochs[rows].astype(np.int64),
        values=values,
        val_values=_validation_values(arrays, rows, monitor),
        learning_rates=next((arrays[name][rows] for name in LEARNING_RATE_NAMES if name in arrays), None),
        monitor=monitor,
        direction=direction,
        unit="step" if counter in STEP_NAMES else "epoch",
        metric=metric,
        val_metric=val_metric,
    )


def kept_rows(history: TrainingHistory, *, max_points: int) -> np.ndarray:
    """Indices of rows to keep: both ends, and the lowest and highest value of each stretch of each series.

    Args:
        history: The run.
        max_points: Largest number of rows, at least 8.

    Returns:
        Increasing indices, shape `(k,)`; all of them if the history is no longer than `max_points`.
    """
    series = [history.values] if history.val_values is None else [history.values, history.val_values]
    return spike_keeping_indices(series, max_points, nan_is_missing=True)


def _numbers(name: str, values: Any) -> np.ndarray:
    """The column as float64, shape `(n,)`; NaN throughout if it holds something else and is not needed."""
    try:
        series = pd.Series(_listed(values))
        if series.dtype == object or pd.api.types.is_string_dtype(series):
            series = series.replace(dict.fromkeys(MISSING_WORDS, np.nan))
        numbers = pd.to_numeric(series).to_numpy(dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        if name != "loss" and not name.endswith("_loss") and name not in (*COUNTER_NAMES, *LEARNING_RATE_NAMES):
            # `np.shape` fails for a list of lists that differ in length.
            return np.full(len(values) if isinstance(values, (list, tuple)) else np.shape(values)[:1] or (1,), np.nan)
        received = str(err).rstrip(".")
        raise CurveError(
            f"The column `{name}` must hold numbers. Received: {received}. Convert or remove what is not a number."
        ) from err
    # What float32 cannot hold has overflowed in training too, and its square would overflow here.
    return np.where(np.abs(numbers) > np.finfo(np.float32).max, np.copysign(np.inf, numbers), numbers)


def _listed(values: Any) -> Any:
    """The values of a column as a sequence: a dict by row, as pandas writes it, or scalar tensors become numbers."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        return [np.asarray(value)[()] if getattr(value, "shape", None) == () else value for value in values]
    return values if np.ndim(values) else [values]


def _find_monitor(arrays: Mapping[str, np.ndarray]) -> str:
    """The training loss by its name; without a loss, an error or a metric that should grow."""
    if "loss" in arrays:
        return "loss"
    usable = [name for name in arrays if not name.startswith("val_") and np.isfinite(arrays[name]).any()]
    # Libraries other than Keras call a validation loss "val/loss" or "eval_loss", and it may come first.
    usable.sort(key=lambda name: not VALIDATION_WORDS.isdisjoint(re.split(r"[\W_]+", name.lower())))
    losses = [name for name in usable if "loss" in name.lower()]
    errors = [name for name in usable if name.lower() in ERROR_NAMES]
    metrics = [name for name in usable if direction_of(name) == "max"]
    if found := [*losses, *errors, *metrics]:
        return found[0]
    raise CurveError(
        f"A history must have a `loss` column. Received the columns {sorted(arrays)[:12]}. Rename the loss to `loss`."
    )


def _find_counter(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The column that counts; if epochs and steps are both recorded, the one with more distinct values."""
    present = [name for name in COUNTER_NAMES if name in arrays]
    return max(present, key=lambda name: np.unique(arrays[name]).size, default=None)


def _check_lengths(lengths: Mapping[str, int], monitor: str) -> None:
    size, validation = lengths[monitor], f"val_{monitor}"
    if others := {name: lengths[name] for name in sorted(lengths) if lengths[name] != size and name != validation}:
        raise CurveError(
            f"All columns must have the same length. Received: `{monitor}` with {size} rows, and {others}. "
            "Write NaN for a missing value."
        )


def _checked_epochs(epochs: np.ndarray, counter: str) -> np.ndarray:
    if not (np.abs(epochs) < MAX_EPOCH).all():
        raise CurveError(
            f"The column `{counter}` must hold whole numbers below 2**53. Received: missing or larger ones. "
            "Fill in the column, or leave it out."
        )
    return epochs


def _check_count(values: np.ndarray, monitor: str) -> None:
    # A loss that is not finite gives its verdict at any length.
    if values.size == 0 or (values.size < MIN_EPOCHS and np.isfinite(values).all()):
        raise CurveError(
            f"A history must have at least {MIN_EPOCHS} epochs. Received: {values.size} of `{monitor}`. Train longer."
        )


def _last_rows(epochs: np.ndarray) -> np.ndarray:
    """Indices of each epoch's last row, in order of epoch."""
    if (np.diff(epochs) > 0).all():
        return np.arange(epochs.size)
    _, last = np.unique(epochs[::-1], return_index=True)
    return np.asarray(epochs.size - 1 - last)


def _validation_values(arrays: Mapping[str, np.ndarray], rows: np.ndarray, monitor: str) -> np.ndarray | None:
    """The validation series at `rows`; None if it was not recorded, or is all NaN beside finite training values."""
    name = f"val_{monitor}"
    if name not in arrays:
        return None
    values = _spread(arrays[name], arrays[monitor].size, name=name)[rows]
    return None if np.isnan(values).all() and np.isfinite(arrays[monitor][rows]).all() else values


def _spread(values: np.ndarray, size: int, *, name: str) -> np.ndarray:
    """A validation series over all `size` epochs: with `validation_freq=k`, Keras records only every k-th."""
    if values.size == size:
        return values
    if values.size == 0 or values.size > size:
        raise CurveError(
            f"`{name}` must have between 1 and {size} rows, because the training series has {size}. "
            f"Received: {values.size}. Write NaN where an epoch was not validated."
        )
    every = size // values.size
    spread = np.full(size, np.nan)
    spread[every - 1 :: every][: values.size] = values
    return spread


def _find_metric(
    arrays: Mapping[str, np.ndarray], rows: np.ndarray, loss: np.ndarray, *, size: int, used: set[str]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """A metric in [0, 1] that grows as the loss falls, on training and on validation data.

    Of several, such as accuracy and top-5 accuracy, the strictest: the one with the lowest mean.

    Args:
        arrays: Every column by its name.
        rows: Rows to read, shape `(n,)`.
        loss: The judged series at these rows with the sign that makes lower better, shape `(n,)`.
        size: Number of rows of the training series, before any was dropped.
        used: Names of columns with another meaning.

    Returns:
        Both series, each of shape `(n,)`; two None without such a metric.
    """
    found = []
    for name, values in arrays.items():
        twin = arrays.get(f"val_{name}")
        if name in used or twin is None or values.size != size or not 0 < twin.size <= size:
            continue
        metric, validation = values[rows], _spread(twin, size, name=f"val_{name}")[rows]
        if _in_unit_interval(metric) and _in_unit_interval(validation) and _grows_as_loss_falls(metric, loss):
            found.append((metric, validation))
    return min(found, key=lambda pair: float(np.nanmean(pair[0])), default=(None, None))


def _in_unit_interval(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return known.size >= MIN_METRIC_VALUES and bool(known.min() >= 0 and known.max() <= 1)


def _grows_as_loss_falls(metric: np.ndarray, loss: np.ndarray) -> bool:
    both = np.isfinite(metric) & np.isfinite(loss)
    if both.sum() < MIN_METRIC_VALUES:
        return False
    centred = loss[both] - loss[both].mean()
    return bool((metric[both] - metric[both].mean()) @ centred < 0)
