"""What is known of one run: its series, picked out of named columns, and the facts beside them.

`from_columns` finds the series to judge, its validation twin, the learning rates, the column that counts epochs or
steps, and a metric beside the loss. Rows without the judged series, such as those of an evaluation, are no epochs.
`run_context` checks the facts: the loss before training, that of a constant output, and the optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr._utils.validation import is_number, positive, real
from keras_lr.analysis._diagnosis.table import (
    COUNTER_NAMES,
    LEARNING_RATE_NAMES,
    Column,
    Rows,
    counter_kind,
    filled,
    find_learning_rate,
    find_monitor,
    find_validation,
    is_learning_rate,
    is_validation,
    kind_of,
    quantity,
    read_rows,
    to_column,
    total_of_parts,
    words,
)
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results._diagnosis import Direction, direction_of

# The curves of a shorter run are not weighed.
MIN_EPOCHS = 3
# A single finite value is no history.
MIN_READABLE_EPOCHS = 2
TRAIN_LONGER = "Train longer."
# A metric is compared with the loss over at least this many epochs.
MIN_METRIC_VALUES = 3
MAX_NAMED_COLUMNS = 6
ACCURACY_WORDS = frozenset({"accuracy", "acc"})

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
# Keras's own default rates; what is this near to one is seldom why a run goes wrong.
DEFAULT_RATES = dict.fromkeys(USUAL_RATES, 1e-3) | {"sgd": 1e-2, "momentum": 1e-2}
NEAR_DEFAULT_DECADES = 0.5 + 1e-6
# A first batch of an untrained model costs more than this part of what the best constant output costs.
TRAINED_BEFORE = 0.25
# Words of the losses of two networks that train against each other.
ADVERSARIES = (frozenset({"g", "gen", "generator"}), frozenset({"d", "disc", "discriminator", "critic"}))
# Columns with one number per run, which the callbacks of this package log.
CONTEXT = ("untrained_loss", "baseline_loss", "optimizer", "learning_rate", "loss")
"""What is known beside the series, by the arguments of `run_context`."""
FACT_COLUMNS = ("untrained_loss", "baseline_loss")
# A loss with one of these names is never negative if the labels are those that it expects.
CROSS_ENTROPIES = (
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "sparsecategoricalcrossentropy",
)
# Other losses of Keras that are never negative.
ERRORS = frozenset(
    [
        "categoricalhinge",
        "hinge",
        "huber",
        "logcosh",
        "mae",
        "mape",
        "meanabsoluteerror",
        "meanabsolutepercentageerror",
        "meansquarederror",
        "meansquaredlogarithmicerror",
        "mse",
        "msle",
        "squaredhinge",
    ]
)


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
        val_monitor: Name of the series in `val_values`.
        direction: "min" if lower values are better, as of a loss, else "max".
        unit: What `epochs` counts.
        metric: A metric beside the loss, in [0, 1], that grows as the loss falls, such as accuracy, shape `(n,)`; None
            without one. With a validation twin it is recognised by its values, whatever its name.
        val_metric: The same on validation data, shape `(n,)`, NaN where not evaluated; None if it never was.
        accuracy: The accuracy on training data, shape `(n,)`, whether or not it grows as the loss falls; None without
            one. It is recognised by its name.
        val_accuracy: The same on validation data, shape `(n,)`, NaN where not evaluated; None if it never was.
        notes: How the source was read, one sentence each, such as which of its runs this is.
        known: What the source holds beside the series: arguments of `run_context` by name.
        opponent: Name of the loss of the network that the judged one trains against; None without one.
    """

    epochs: np.ndarray
    values: np.ndarray
    val_values: np.ndarray | None
    learning_rates: np.ndarray | None
    monitor: str
    val_monitor: str
    direction: Direction = "min"
    unit: Literal["epoch", "step"] = "epoch"
    metric: np.ndarray | None = None
    val_metric: np.ndarray | None = None
    accuracy: np.ndarray | None = None
    val_accuracy: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    known: Mapping[str, Any] = field(default_factory=dict)
    opponent: str | None = None

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
    columns: Mapping[str, Any],
    *,
    monitor: str | None = None,
    direction: Direction | None = None,
    run: str | int | None = None,
    validation_freq: int | Iterable[int] | None = None,
    rolled_back: bool = False,
) -> TrainingHistory:
    """The history in named columns.

    If the epochs fall back to the first one, another run begins. If they fall back to a later one, training was resumed
    there, and what it had recorded from that epoch on is dropped. A table that was sorted by something else, in which
    no epoch occurs twice and none is missing, is read in the order of its epochs.

    Args:
        columns: Each series by its name, shape `(n,)`; None or a masked element where nothing was logged. A validation
            series may be shorter, as with `validation_freq`.
        monitor: Name of the series to judge; by default `loss`, or what is most likely the training loss.
        direction: "min" if lower values are better, "max" if higher ones are; by default as the name suggests.
        run: Which of several runs to read, "run 1" or 1 for the first; by default the last.
        validation_freq: As given to `fit`; needed if the lengths do not show which epochs were validated.
        rolled_back: Whether epochs fall back because they were trained again, even to the first one.

    Raises:
        CurveError: There is no series to judge, columns differ in length, values are not numbers, there is only a
            single finite epoch, or it is unknown which epochs were validated.
        InvalidArgumentError: There is no such run, or `validation_freq` does not fit the columns.
    """
    table = {str(name): to_column(str(name), values) for name, values in columns.items()}
    facts = {name: table.pop(name) for name in FACT_COLUMNS if name in table}
    totals, parts = total_of_parts(table)
    table = {**table, **totals}
    monitor = monitor or find_monitor(table)
    _check_lengths(table, monitor)
    _check_count(table[monitor].values[table[monitor].logged], monitor)
    validation = find_validation(table, monitor)
    table = _spread_validation(table, monitor, validation, validation_freq)
    rows, run_note = read_rows(table, monitor, run=run, rolled_back=rolled_back)
    values = table[monitor].values[rows.kept]
    _check_count(values, monitor, remedy=run_note or TRAIN_LONGER)
    direction = direction or direction_of(monitor)
    val_values = None if validation is None else rows.evaluated(table[validation])
    if val_values is not None and np.isnan(val_values).all() and np.isfinite(values).all():
        val_values = None
    rate, rate_note = find_learning_rate(table)
    table = _accuracies_as_shares(table, monitor)
    metric, val_metric = _find_metric(table, rows, monitor, values if direction == "min" else -values)
    notes = (run_note, _total_note(parts), _validation_note(table, monitor, validation), rate_note)
    return TrainingHistory(
        epochs=rows.numbers,
        values=values,
        val_values=val_values,
        learning_rates=None if rate is None else rows.latest(table[rate]),
        monitor=monitor,
        val_monitor=validation or f"val_{monitor}",
        direction=direction,
        unit=rows.unit,
        metric=metric,
        val_metric=val_metric,
        accuracy=_find_accuracy(table, rows.measured, monitor, validation=False),
        val_accuracy=_find_accuracy(table, rows.evaluated, monitor, validation=True),
        notes=tuple(note for note in notes if note),
        known={**_numbers_of_run(facts, rows, table[monitor].values.size), **_named_optimizer(columns)},
        opponent=_opponent(table, monitor),
    )


def without_passing_gaps(history: TrainingHistory) -> TrainingHistory:
    """The history without the rows that are not finite, if the series comes back to where it was after each of them.

    Weights that are NaN stay so. A finite value after it shows that the weights were finite throughout.
    """
    finite = np.isfinite(history.loss)
    if finite.all() or not finite[-1]:
        return history
    highest = np.maximum.accumulate(np.where(finite, history.loss, -np.inf))
    for place in np.flatnonzero(~finite[:-1] & finite[1:]):
        if np.isfinite(highest[place]) and history.loss[place + 1] > highest[place]:
            return history
    left_out = ", ".join(map(str, history.epochs[~finite][:MAX_NAMED_COLUMNS].tolist()))
    note = (
        f"`{history.monitor}` is not finite at {history.unit} {left_out}, but it is again right after. So the weights "
        f"stayed finite: look for a logarithm of 0, a division by zero or a damaged sample. These {history.unit}s are "
        "left out."
    )
    series = ("epochs", "values", "val_values", "learning_rates", "metric", "val_metric", "accuracy", "val_accuracy")
    shown = {name: getattr(history, name) for name in series}
    kept = {name: values[finite] for name, values in shown.items() if values is not None}
    return replace(history, **kept, notes=(*history.notes, note))


def at_the_end(history: TrainingHistory) -> TrainingHistory:
    """The history without its last epoch, with the mean of two epochs for what was between them.

    Keras logs a training loss as its mean over an epoch. So this is about what others log, its value at the end.
    """
    if history.values.size <= MIN_READABLE_EPOCHS + 1:
        return history
    trained = {name: getattr(history, name) for name in ("values", "metric", "accuracy")}
    untouched = ("epochs", "val_values", "val_metric", "val_accuracy", "learning_rates")
    others = {name: getattr(history, name) for name in untouched}
    between = {name: (series[:-1] + series[1:]) / 2 for name, series in trained.items() if series is not None}
    return replace(history, **between, **{name: series[:-1] for name, series in others.items() if series is not None})


def with_known(history: TrainingHistory, known: Mapping[str, Any]) -> TrainingHistory:
    """The history with further facts; its own come first."""
    return replace(history, known={**known, **history.known})


def _numbers_of_run(facts: Mapping[str, Column], rows: Rows, size: int) -> dict[str, float]:
    """The first finite value of each of `FACT_COLUMNS` in the rows of the run."""
    columns = {name: column.values[rows.kept] for name, column in facts.items() if column.values.size == size}
    finite = {name: values[np.isfinite(values)] for name, values in columns.items()}
    return {name: float(values[0]) for name, values in finite.items() if values.size}


def _named_optimizer(columns: Mapping[str, Any]) -> dict[str, str]:
    """The optimizer in a column that names one of those whose usual rates are known, and no other."""
    values = columns.get("optimizer")
    cells = values if isinstance(values, (list, np.ndarray)) else []
    names = {str(cell).strip().lower() for cell in cells if isinstance(cell, str)}
    return {"optimizer": names.pop()} if len(names) == 1 and names <= set(USUAL_RATES) else {}


def _opponent(table: Mapping[str, Column], monitor: str) -> str | None:
    """The loss of the other of two networks that train against each other."""
    for ours, theirs in (ADVERSARIES, ADVERSARIES[::-1]):
        if not ours.isdisjoint(words(monitor)):
            losses = (name for name in table if kind_of(name) == "loss" and not theirs.isdisjoint(words(name)))
            return next(losses, None)
    return None


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


def _check_lengths(table: Mapping[str, Column], monitor: str) -> None:
    size = table[monitor].values.size
    lengths = {name: table[name].values.size for name in (*COUNTER_NAMES, *LEARNING_RATE_NAMES) if name in table}
    if others := {name: lengths[name] for name in sorted(lengths) if lengths[name] != size}:
        raise CurveError(
            f"All columns must have the same length. Received: `{monitor}` with {size} rows, and {others}. "
            "Write NaN for a missing value."
        )


def _check_count(values: np.ndarray, monitor: str, *, remedy: str = TRAIN_LONGER) -> None:
    # A loss that is not finite gives its verdict at any length.
    if values.size == 0 or (values.size < MIN_READABLE_EPOCHS and np.isfinite(values).all()):
        raise CurveError(
            f"A history must have at least {MIN_READABLE_EPOCHS} epochs. Received: {values.size} of `{monitor}`. "
            f"{remedy}"
        )


def _spread_validation(
    table: Mapping[str, Column],
    monitor: str,
    validation: str | None,
    validation_freq: int | Iterable[int] | None,
) -> dict[str, Column]:
    """The columns as long as the judged series. With `validation_freq`, Keras records only the validated epochs.

    Raises:
        CurveError: It is unknown which epochs were validated.
        InvalidArgumentError: `validation_freq` gives another number of epochs.
    """
    size = table[monitor].values.size
    columns = {name: column for name, column in table.items() if column.values.size == size}
    if validation is None or validation in columns:
        return columns
    count = table[validation].values.size
    if count == 0 or count > size:
        raise CurveError(
            f"`{validation}` must have between 1 and {size} rows, because the training series has {size}. "
            f"Received: {count}. Write NaN where an epoch was not validated."
        )
    epochs = filled(columns["epoch"]) if "epoch" in columns else np.arange(size)
    # Keras counts the epochs of `validation_freq` from 1.
    rows = _validated_rows(epochs + 1, count, validation_freq, name=validation)
    for name, column in table.items():
        if is_validation(name) and column.values.size == count:
            values, logged = np.full(size, np.nan), np.zeros(size, dtype=bool)
            values[rows], logged[rows] = column.values, column.logged
            columns[name] = Column(values, logged)
    return columns


def _validated_rows(
    epochs: np.ndarray, count: int, validation_freq: int | Iterable[int] | None, *, name: str
) -> np.ndarray:
    if validation_freq is None:
        every = _only_frequency(epochs, count)
        if every is None:
            raise CurveError(
                f"`{name}` has {count} values for {epochs.size} epochs, which leaves open which epochs were validated. "
                "Pass `validation_freq` as you gave it to `fit`."
            )
        return np.flatnonzero(epochs % every == 0)
    if isinstance(validation_freq, int) and validation_freq >= 1:
        rows = np.flatnonzero(epochs % validation_freq == 0)
    elif isinstance(validation_freq, Iterable) and not isinstance(validation_freq, str):
        rows = np.flatnonzero(np.isin(epochs, list(validation_freq)))
    else:
        raise InvalidArgumentError(
            f"`validation_freq` must be an integer >= 1 or a list of epochs. Received: {validation_freq!r}. "
            "Pass it as you gave it to `fit`."
        )
    if rows.size != count:
        raise InvalidArgumentError(
            f"`validation_freq` must be as given to `fit`. Received: {validation_freq!r}, which validates {rows.size} "
            f"of {epochs.size} epochs, but `{name}` has {count} values. With another "
            "`initial_epoch` than 0, pass the `History` itself, which knows its epochs."
        )
    return rows


def _only_frequency(epochs: np.ndarray, count: int) -> int | None:
    """The only `validation_freq` that validates `count` of the epochs; None if several do, or it leaves a rest."""
    if epochs.size % count:
        return None
    highest = epochs.size // (count - 1) if count > 1 else int(epochs.max())
    found: list[int] = []
    for every in range(max(1, epochs.size // (count + 1)), highest + 1):
        if np.count_nonzero(epochs % every == 0) == count:
            found.append(every)
        if len(found) > 1:
            return None
    return found[0] if found else None


def _find_metric(
    table: Mapping[str, Column], rows: Rows, monitor: str, loss: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """A metric in [0, 1] that grows as the loss falls, on training and on validation data.

    One with a validation twin is preferred; without a twin, its name must say that it should grow. Of several, such as
    accuracy and top-5 accuracy, the strictest: the one with the lowest mean.

    Args:
        table: Every column by its name.
        rows: The rows of the run.
        monitor: Name of the judged series.
        loss: The judged series with the sign that makes lower better, shape `(n,)`.

    Returns:
        Both series, each of shape `(n,)`; None for what was not recorded.
    """
    found: list[tuple[np.ndarray, np.ndarray | None]] = []
    for name, column in table.items():
        if name == monitor or is_validation(name) or counter_kind(name) or is_learning_rate(name):
            continue
        twin = find_validation(table, name)
        metric = rows.measured(column)
        if not (_in_unit_interval(metric) and _grows_as_loss_falls(metric, loss)):
            continue
        validation = None if twin is None else rows.evaluated(table[twin])
        if validation is not None and _in_unit_interval(validation):
            found.append((metric, validation))
        elif kind_of(name) == "metric":
            found.append((metric, None))
    if not found:
        return None, None
    return min(found, key=lambda pair: (pair[1] is None, float(np.nanmean(pair[0]))))


def _find_accuracy(
    table: Mapping[str, Column], read: Callable[[Column], np.ndarray], monitor: str, *, validation: bool
) -> np.ndarray | None:
    """The accuracy on training or validation data, a series in [0, 1], shape `(n,)`; of several, the strictest."""
    named = [name for name in table if name != monitor and is_validation(name) == validation]
    found = [read(table[name]) for name in named if _is_accuracy(name)]
    return min(filter(_in_unit_interval, found), key=lambda series: float(np.nanmean(series)), default=None)


def _is_accuracy(name: str) -> bool:
    return not ACCURACY_WORDS.isdisjoint(words(name))


def _accuracies_as_shares(table: Mapping[str, Column], monitor: str) -> dict[str, Column]:
    """The table with accuracies in per cent as shares of 1; the judged series stays as it was recorded."""
    named = {name: column for name, column in table.items() if name != monitor and _is_accuracy(name)}
    known = [column.values[np.isfinite(column.values)] for column in named.values()]
    every = np.concatenate(known) if known else np.empty(0)
    # Rounding may carry a share a little above 1.
    if not every.size or every.min() < 0 or not 1.01 < every.max() <= 100:
        return dict(table)
    return {**table, **{name: Column(column.values / 100, column.logged) for name, column in named.items()}}


def _in_unit_interval(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return known.size >= MIN_METRIC_VALUES and bool(known.min() >= 0 and known.max() <= 1)


def _grows_as_loss_falls(metric: np.ndarray, loss: np.ndarray) -> bool:
    both = np.isfinite(metric) & np.isfinite(loss)
    if both.sum() < MIN_METRIC_VALUES:
        return False
    centred = loss[both] - loss[both].mean()
    return bool((metric[both] - metric[both].mean()) @ centred < 0)


def _total_note(parts: list[str]) -> str:
    return f"`loss` is the sum of {_listed(parts)}." if parts else ""


def _validation_note(table: Mapping[str, Column], monitor: str, validation: str | None) -> str:
    """Says what may be missed: that the judged series is one of validation, or that its validation was not found."""
    if is_validation(monitor):
        return f"No training series was recognised, so `{monitor}` is judged instead."
    if validation is not None:
        return ""
    same = set(quantity(monitor))
    candidates = [
        name
        for name, column in table.items()
        if name != monitor and column.logged.sum() >= MIN_READABLE_EPOCHS and not is_learning_rate(name)
        if is_validation(name) or (kind_of(name) and same <= set(quantity(name)))
    ]
    return f"No validation series was recognised among {_listed(candidates)}." if candidates else ""


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:MAX_NAMED_COLUMNS])
    return shown if len(names) <= MAX_NAMED_COLUMNS else f"{shown} and {len(names) - MAX_NAMED_COLUMNS} others"


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
    def decades_above_default(self) -> float | None:
        """Decades from the optimizer's default up to the run's rate; None if either is unknown."""
        default = DEFAULT_RATES.get(self.optimizer or "")
        return None if default is None or self.learning_rate is None else math.log10(self.learning_rate / default)

    @property
    def is_near_default(self) -> bool:
        """Whether the rate is known to be about the default of its optimizer."""
        above = self.decades_above_default
        return above is not None and abs(above) <= NEAR_DEFAULT_DECADES

    @property
    def is_below_default(self) -> bool:
        """Whether the rate is known to be lower than what is about the default of its optimizer."""
        above = self.decades_above_default
        return above is not None and above < -NEAR_DEFAULT_DECADES

    @property
    def start_loss(self) -> float | None:
        """The untrained loss, or that of the best constant output if it is higher; None if the former is unknown.

        The untrained loss was measured on the first batch, and a small one may be easier by chance. One that is far
        lower than that of a constant output is of a model that was trained before.
        """
        if self.untrained_loss is None or self.baseline_loss is None:
            return self.untrained_loss
        trained_before = self.untrained_loss < TRAINED_BEFORE * self.baseline_loss
        return self.untrained_loss if trained_before else max(self.untrained_loss, self.baseline_loss)

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the loss is known to be a cross-entropy of Keras."""
        return self.loss is not None and self.loss.removesuffix("loss") in CROSS_ENTROPIES

    @property
    def may_be_negative(self) -> bool:
        """Whether the loss is known to be one that may be negative, such as a likelihood of one's own."""
        return self.loss is not None and not self.is_cross_entropy and self.loss not in ERRORS


def run_context(
    history: TrainingHistory,
    *,
    untrained_loss: Any = None,
    baseline_loss: Any = None,
    optimizer: Any = None,
    learning_rate: Any = None,
    loss: Any = None,
) -> RunContext:
    """The facts, checked; those that are not given are the history's own.

    A learning rate in the history comes first. Losses say nothing of a judged metric.

    Raises:
        InvalidArgumentError: A number is not finite or a rate not positive, or a name is not text.
    """
    given = {
        "untrained_loss": untrained_loss,
        "baseline_loss": baseline_loss,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "loss": loss,
    }
    if optimizer is not None:
        # A rate beside another optimizer's name would be that optimizer's.
        given["learning_rate"] = learning_rate if learning_rate is not None else _rate_of(optimizer)
    untrained_loss, baseline_loss, optimizer, learning_rate, loss = (
        history.known.get(name) if value is None else value for name, value in given.items()
    )
    untrained, baseline = (
        None if value is None else real(name, value)
        for name, value in (("untrained_loss", untrained_loss), ("baseline_loss", baseline_loss))
    )
    rate = None if learning_rate is None else positive("learning_rate", learning_rate)
    name = optimizer_name(optimizer)
    if rate is None:
        rate = _rate_of(optimizer)
    judged_by_loss = history.direction == "min"
    return RunContext(
        untrained_loss=untrained if judged_by_loss else None,
        baseline_loss=baseline if judged_by_loss else None,
        optimizer=name,
        learning_rate=rate if history.learning_rate is None else history.learning_rate,
        loss=loss_name(loss),
    )


def loss_name(loss: Any) -> str | None:
    """The name of a Keras loss in lower case, without underscores; None without one."""
    return _class_name("loss", loss).replace("_", "") or None


def optimizer_name(optimizer: Any) -> str | None:
    """The class name of a Keras optimizer in lower case, "momentum" for SGD with momentum; None without one."""
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
