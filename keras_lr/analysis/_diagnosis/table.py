"""A training log as a table: the numbers in its columns, what their names say, and which rows make up a run.

Libraries call the same series `loss`, `train_loss`, `train/loss`, `Loss/train` or `training-logloss`. Some words of a
name say on which data and how often a series was measured; the others name the quantity.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results._diagnosis import direction_of

LEARNING_RATE_NAMES = ("learning_rate", "lr")
STEP_NAMES = ("step", "batch", "iteration")
COUNTER_NAMES = ("epoch", *STEP_NAMES)

# What loggers write for a value that was not logged; in any case of letters, padded or not.
MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "<na>", "none", "null", "-", "no log"})
# Spellings of NaN and infinity that `float` does not know.
NOT_FINITE_WORDS = {
    "nan(ind)": np.nan,
    "-nan(ind)": np.nan,
    "1.#qnan": np.nan,
    "-1.#ind": np.nan,
    "1.#inf": np.inf,
    "-1.#inf": -np.inf,
}

# A number as an array of one element prints it: "tensor(0.5, device='cuda:0')", "[0.5]".
PRINTED_NUMBER = re.compile(r"(?:[a-z][\w.]*)?[(\[]\s*([^\s,()\[\]]+)\s*(?:,[^()\[\]]*)?[)\]]")
NAMED_COUNT = re.compile(r"\s*(?:[A-Za-z]+[\s:=#_-]*)?[\[(]?\s*(\d+(?:\.\d+)?)\s*(?:/\s*\d+)?\s*[\])]?:?\s*")

TRAINING_WORDS = frozenset({"train", "training", "trn", "tr", "learn"})
# In order of preference, if a quantity was measured on several.
VALIDATION_WORDS = ("val", "valid", "vali", "validation", "dev", "eval", "evaluation", "test", "testing")
# A series per step is passed over for one per epoch.
STEP_WORDS = frozenset({"step", "batch", "iter", "iteration"})
NEUTRAL_WORDS = STEP_WORDS | {"minibatch", "set", "epoch", "metric", "metrics", "avg", "average", "running"}
ERROR_WORDS = frozenset(
    {"mse", "mae", "rmse", "mape", "error", "err", "merror", "nll", "ppl", "perplexity", "entropy", "crossentropy"}
    | {"ce", "bce", "kl", "kld", "xent", "deviance", "huber", "cost", "objective", "l1", "l2"}
)
# A name with one of these is about a loss, but is none: `loss_scale`, `best_loss`.
DERIVED_WORDS = frozenset({"scale", "scaler", "weight", "coef", "best", "min", "max", "std", "delta"})
TOTAL_WORDS = frozenset({"total", "overall", "sum"})
# Where "valloss" has two words.
GLUED_WORDS = re.compile(r"(?<=train|valid)(?=loss|acc)|(?<=test|eval)(?=loss|acc)|(?<=\bval)(?=loss|acc)")
SINGULARS = {"losses": "loss", "accuracies": "accuracy", "epochs": "epoch", "steps": "step", "batches": "batch"}
SINGULARS |= {"accs": "acc", "iterations": "iteration", "iters": "iter", "rounds": "round", "updates": "update"}

# float64 holds every integer below this.
MAX_EPOCH = 2**53
# An epoch that stays the same over this share of the rows counts for several of them.
MIN_REPEATED_SHARE = 0.5

# A run after one of at least so many rows goes on from it if its first loss gives back at most this part of its fall.
MIN_CONTINUED = 3
CONTINUED_PART = 0.25

EPOCH_COUNTERS = (
    frozenset({"epoch"}),
    frozenset({"num", "epoch"}),
    frozenset({"epoch", "number"}),
    frozenset({"current", "epoch"}),
)
STEP_COUNTERS = tuple(
    frozenset(words.split())
    for words in (
        *("step", "global step", "epoch step", "batch step", "batch", "global batch", "update", "num update"),
        *("iteration", "global iteration", "iter", "global iter", "round", "boosting round"),
    )
)


class Column(NamedTuple):
    """One column of a log.

    Attributes:
        values: float64, shape `(n,)`; NaN where nothing was logged, and where NaN was.
        logged: Where there is a value, finite or not, shape `(n,)`, bool.
    """

    values: np.ndarray
    logged: np.ndarray


class _Counting(NamedTuple):
    """How rows are ordered and numbered.

    Attributes:
        keys: Increasing with training time within a run, for every row, shape `(n,)`.
        unit: What the numbers count.
        numbers: What is shown for each row, shape `(n,)`; None to count the rows that are kept.
        distinct: Whether a key that occurs again in a run replaces the earlier row.
    """

    keys: np.ndarray
    unit: Literal["epoch", "step"]
    numbers: np.ndarray | None
    distinct: bool = True


class Rows(NamedTuple):
    """The rows of one run: those kept of the judged series, and how those of the other series belong to them.

    Attributes:
        kept: Rows of the judged series in order of training, shape `(m,)`.
        keys: Key of every row of the table, shape `(n,)`.
        usable: Rows of this run that no later row replaces, shape `(n,)`, bool.
        numbers: Epoch or step of each kept row, shape `(m,)`, int64, increasing.
        unit: What `numbers` counts.
    """

    kept: np.ndarray
    keys: np.ndarray
    usable: np.ndarray
    numbers: np.ndarray
    unit: Literal["epoch", "step"]

    def evaluated(self, column: Column) -> np.ndarray:
        """An evaluation of the weights, at the last kept row trained before it, shape `(m,)`; NaN without one.

        Of several between two kept rows, the first counts.
        """
        if column.logged[self.kept].all():
            return np.asarray(column.values[self.kept])
        found = np.flatnonzero(column.logged & self.usable)
        found = found[np.lexsort((found, -self.keys[found]))]
        places = np.searchsorted(self.keys[self.kept], self.keys[found], side="right") - 1
        series = np.full(self.kept.size, np.nan)
        series[places[places >= 0]] = column.values[found[places >= 0]]
        return series

    def measured(self, column: Column) -> np.ndarray:
        """A series of the same training, where it has the key of a kept row, shape `(m,)`; NaN elsewhere."""
        if column.logged[self.kept].all():
            return np.asarray(column.values[self.kept])
        found = np.flatnonzero(column.logged & self.usable)
        places = np.searchsorted(self.keys[self.kept], self.keys[found], side="right") - 1
        same = (places >= 0) & (self.keys[self.kept[places]] == self.keys[found])
        series = np.full(self.kept.size, np.nan)
        series[places[same]] = column.values[found[same]]
        return series

    def latest(self, column: Column) -> np.ndarray:
        """The last value logged up to each kept row, shape `(m,)`; the first one before that; NaN without any."""
        if column.logged[self.kept].all():
            return np.asarray(column.values[self.kept])
        found = np.flatnonzero(column.logged & self.usable)
        if not found.size:
            return np.full(self.kept.size, np.nan)
        found = found[np.argsort(self.keys[found], kind="stable")]
        places = np.searchsorted(self.keys[found], self.keys[self.kept], side="right") - 1
        return np.asarray(column.values[found[np.maximum(places, 0)]])


def to_column(name: str, values: Any) -> Column:
    """The column as numbers. One that holds something else and is not needed counts as never logged.

    None, a masked element, and text such as "" or "NA" stand for a value that was not logged.

    Raises:
        CurveError: A loss, a counter or a learning rate holds something that is not a number.
    """
    try:
        column = _parsed(values, number=_count if counter_kind(name) else _number)
    except (TypeError, ValueError, OverflowError) as err:
        if not name.lower().endswith("loss") and name not in (*COUNTER_NAMES, *LEARNING_RATE_NAMES):
            size = len(values) if hasattr(values, "__len__") and not isinstance(values, str) else 1
            return Column(np.full(size, np.nan), np.zeros(size, dtype=bool))
        received = str(err).rstrip(".")
        raise CurveError(
            f"The column `{name}` must hold numbers. Received: {received}. Convert or remove what is not a number."
        ) from err
    # What float32 cannot hold has overflowed in training too, and its square would overflow here.
    large = np.abs(column.values) > np.finfo(np.float32).max
    return column._replace(values=np.where(large, np.copysign(np.inf, column.values), column.values))


def find_monitor(table: Mapping[str, Column]) -> str:
    """The training loss; without one, an error, then a metric that should grow, then the same on validation data.

    Raises:
        CurveError: There is none, or it was never logged.
    """
    if "loss" in table and table["loss"].logged.any():
        return "loss"
    ranked = sorted((name for name in table if table[name].logged.any() and kind_of(name)), key=_rank(table))
    if ranked:
        return ranked[0]
    if "loss" in table:
        raise CurveError("The column `loss` is empty. Log the training loss.")
    raise CurveError(
        f"A history must have a `loss` column. Received the columns {sorted(table)[:12]}. Rename the loss to `loss`."
    )


def find_validation(table: Mapping[str, Column], name: str) -> str | None:
    """The series of the same quantity on validation data: `val_` and the name, else by the words of the names."""
    if f"val_{name}" in table:
        return f"val_{name}"
    if is_validation(name):
        return None
    twins = [
        other
        for other in table
        if is_validation(other) and quantity(other) == quantity(name) and table[other].logged.any()
    ]
    return min(twins, key=lambda twin: (_data_rank(twin), _is_per_step(twin)), default=None)


def find_learning_rate(table: Mapping[str, Column]) -> tuple[str | None, str]:
    """The column of learning rates, and what was assumed: of several, such as one per layer, the highest counts.

    Layers that train at a share of the rate have the lower ones.
    """
    names = [name for name in table if is_learning_rate(name) and table[name].logged.any()]
    plain = [name for name in names if name in LEARNING_RATE_NAMES]
    if plain or not names:
        return (plain[0] if plain else None), ""
    finite = {name: table[name].values[table[name].logged & np.isfinite(table[name].values)] for name in names}
    medians = {name: float(np.median(rates)) for name, rates in finite.items() if rates.size}
    highest = max(medians, key=medians.__getitem__, default=names[0])
    differ = len({*medians.values()}) > 1
    return highest, f"Of {len(names)} learning rates, the highest is judged, `{highest}`." if differ else ""


def find_counters(table: Mapping[str, Column], kind: Literal["epoch", "step"]) -> list[str]:
    """The columns that count epochs, or steps; those with a plain name first."""
    names = [name for name in table if counter_kind(name) == kind]
    return sorted(names, key=lambda name: (name not in COUNTER_NAMES, name.startswith("_")))


def total_of_parts(table: Mapping[str, Column]) -> tuple[dict[str, Column], list[str]]:
    """The sum of the parts of a loss, as `loss` and `val_loss`, and the names of its parts.

    Object detectors record `train/box_loss`, `train/cls_loss` and so on, each with its twin `val/box_loss`, but not
    the loss itself. Both are empty for any other table.
    """
    parts = [name for name in table if re.fullmatch(r"train/\w+_loss", name)]
    twins = [name.replace("train/", "val/", 1) for name in parts]
    if len(parts) < 2 or {"loss", "train/loss"} & set(table) or not set(twins) <= set(table):
        return {}, []
    if len({table[name].values.size for name in (*parts, *twins)}) > 1:
        return {}, []
    return {"loss": _sum([table[name] for name in parts]), "val_loss": _sum([table[name] for name in twins])}, parts


@functools.lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, those in the plural in the singular: `valLoss` and `Val/losses` are equal."""
    spaced = GLUED_WORDS.sub(" ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())
    return tuple(SINGULARS.get(word, word) for word in re.split(r"[\W_]+", spaced) if word)


def quantity(name: str) -> tuple[str, ...]:
    """The words that say what was measured, not on which data or how often."""
    others = TRAINING_WORDS | NEUTRAL_WORDS | set(VALIDATION_WORDS)
    return tuple(word for word in words(name) if word not in others)


def is_validation(name: str) -> bool:
    """Whether the name says that the series was measured on validation or test data."""
    return not set(VALIDATION_WORDS).isdisjoint(words(name))


def is_learning_rate(name: str) -> bool:
    """Whether the name is that of a learning rate, such as `lr-Adam`, `lr/pg0` or `train/learning_rate`."""
    found = words(name)
    named = any(re.fullmatch(r"lr\d*", word) for word in found) or {"learning", "rate"} <= set(found)
    return named and DERIVED_WORDS.isdisjoint(found)


def counter_kind(name: str) -> Literal["epoch", "step"] | None:
    """What the column counts, such as `train/global_step` or `Epoch`; None if it does not count."""
    if is_validation(name):
        return None
    found = frozenset(words(name)) - TRAINING_WORDS - {"trainer", "metrics"}
    if found in EPOCH_COUNTERS:
        return "epoch"
    return "step" if found in STEP_COUNTERS else None


def kind_of(name: str) -> Literal["loss", "error", "metric"] | None:
    """What the name says that the series is; a "metric" should grow."""
    found = set(quantity(name))
    if found & DERIVED_WORDS:
        return None
    if any("loss" in word for word in found):
        return "loss"
    if found & ERROR_WORDS:
        return "error"
    return "metric" if direction_of(name) == "max" else None


def read_rows(
    table: Mapping[str, Column], monitor: str, *, run: str | int | None, rolled_back: bool
) -> tuple[Rows, str]:
    """The rows of a run, and a sentence that says which it is if there are several."""
    training = np.flatnonzero(table[monitor].logged)
    counting = _count_rows(table, training, rolled_back=rolled_back)
    if (order := _order_in_time(counting.keys, training)) is not None:
        in_order = {name: Column(column.values[order], column.logged[order]) for name, column in table.items()}
        rows, note = read_rows(in_order, monitor, run=run, rolled_back=rolled_back)
        place = np.argsort(order)
        return rows._replace(kept=order[rows.kept], keys=rows.keys[place], usable=rows.usable[place]), note
    keys = counting.keys[training]
    starts = [0] if rolled_back else _run_starts(keys)
    values = table[monitor].values[training]
    continued = [] if run is not None else _continued(starts, values if direction_of(monitor) == "min" else -values)
    if continued:
        counting = _counted_on(counting, training[continued])
        keys = counting.keys[training]
        starts = [start for start in starts if start not in continued]
    chosen = _chosen_run(run, len(starts))
    first, end = starts[chosen], [*starts, keys.size][chosen + 1]
    later = _lowest_fall_after(keys[first:end], distinct=counting.distinct)
    place = _training_place(counting.keys, training)
    usable = (place >= first) & (place < end)
    usable[usable] = counting.keys[usable] < later[place[usable] - first]
    kept = training[first:end][usable[training[first:end]]]
    numbers = None if counting.numbers is None else counting.numbers[kept]
    if numbers is None or not (_whole(numbers) and (np.diff(numbers) > 0).all()):
        numbers = np.arange(kept.size)
    rows = Rows(kept, counting.keys, usable, numbers.astype(np.int64), counting.unit)
    if continued and len(starts) == 1:
        return rows, (
            f"The {counting.unit}s start over, but `{monitor}` goes on from where it was, so this is read as one "
            f'training. Read its parts with `run="run 1"` and so on.'
        )
    if run is not None or len(starts) == 1:
        return rows, ""
    return rows, (
        f"The source holds {len(starts)} runs, because its {counting.unit}s start over. This is the last one, "
        f'`run {len(starts)}`; read another with `run="run 1"`.'
    )


def filled(column: Column) -> np.ndarray:
    """The counter at every row. A row without it lies half a count after the row before, or before the first one."""
    usable = np.isfinite(column.values) & (np.abs(column.values) < MAX_EPOCH)
    if usable.all():
        return column.values
    known = pd.Series(np.where(usable, column.values, np.nan))
    return known.fillna(known.ffill() + 0.5).fillna(known.bfill() - 0.5).to_numpy()


def _rank(table: Mapping[str, Column]) -> Any:
    """Sorts names by how likely they are the training loss; equal ones stay in the table's order."""
    kinds = ("loss", "error", "metric")

    def rank(name: str) -> tuple[bool, bool, int, bool, bool]:
        found = quantity(name)
        is_part = found != ("loss",) and TOTAL_WORDS.isdisjoint(found)
        # One value is a summary at the end of the run.
        is_summary = int(table[name].logged.sum()) < 2
        return is_summary, is_validation(name), kinds.index(kind_of(name) or "metric"), _is_per_step(name), is_part

    return rank


def _data_rank(name: str) -> int:
    return min(VALIDATION_WORDS.index(word) for word in words(name) if word in VALIDATION_WORDS)


def _is_per_step(name: str) -> bool:
    return not STEP_WORDS.isdisjoint(words(name))


def _sum(columns: list[Column]) -> Column:
    logged = np.logical_and.reduce([column.logged for column in columns])
    return Column(np.where(logged, np.sum([column.values for column in columns], axis=0), np.nan), logged)


def _parsed(values: Any, *, number: Callable[[Any], float | None]) -> Column:
    """The numbers in any sequence: an array, a list of anything that `number` takes, or a dict by row."""
    if isinstance(values, Mapping):
        values = list(values.values())
    shape = tuple(getattr(values, "shape", (0,)))
    if isinstance(values, str) or not hasattr(values, "__iter__") or not shape:
        values = [values]
    elif len(shape) != 1:
        raise ValueError(f"an array of shape {shape}")
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        missing = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else np.zeros(len(values), bool)
        return Column(np.where(missing, np.nan, np.asarray(values, dtype=np.float64)), ~missing)
    numbers = [number(value) for value in values]
    logged = np.array([number is not None for number in numbers], dtype=bool)
    return Column(np.array([np.nan if number is None else number for number in numbers], dtype=np.float64), logged)


def _number(value: Any) -> float | None:
    if value is None or value is pd.NA:
        return None
    if not isinstance(value, str):
        return float(value)
    text = value.strip().lower().replace("\u2212", "-")
    # Dashes and colons are the line below the header of a table in Markdown.
    if text in MISSING_WORDS or not text.strip("-:"):
        return None
    if text in NOT_FINITE_WORDS:
        return NOT_FINITE_WORDS[text]
    if printed := PRINTED_NUMBER.fullmatch(text):
        text = printed[1]
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def _count(value: Any) -> float | None:
    """The number of an epoch or a step, also in text such as "3/20" or "Epoch 3"."""
    named = NAMED_COUNT.fullmatch(value) if isinstance(value, str) else None
    return float(named[1]) if named else _number(value)


def _count_rows(table: Mapping[str, Column], training: np.ndarray, *, rolled_back: bool) -> _Counting:
    """What orders the rows: the epochs, if they change from row to row of the judged series, else the steps."""
    epochs, steps = (_complete_counter(table, training, kind) for kind in ("epoch", "step"))
    if epochs is None and steps is None:
        _check_counters(table, training)
        return _count_without_counter(table, training)
    if epochs is None and steps is not None and "batch" in words(steps):
        # Without epochs, batches that start over begin another epoch.
        keys = filled(table[steps])
        restarts = np.diff(keys, prepend=keys[:1]) < 0
        return _combined(np.cumsum(restarts, dtype=np.float64), keys)
    if epochs is None and steps is not None:
        keys = filled(table[steps])
        return _Counting(keys, "step", keys)
    epoch_keys = filled(table[str(epochs)])
    at = epoch_keys[training]
    repeated = at.size > 1 and float(np.mean(np.diff(at) == 0)) >= MIN_REPEATED_SHARE
    if rolled_back or (_whole(at) and not repeated):
        return _Counting(epoch_keys, "epoch", epoch_keys)
    if steps is None:
        return _Counting(epoch_keys, "step", None, distinct=False)
    step_keys = filled(table[steps])
    rises, step_falls = np.diff(at) > 0, np.diff(step_keys[training]) < 0
    if rises.any() and step_falls[rises].mean() > 0.5:
        return _combined(epoch_keys, step_keys)
    if (np.diff(at)[~step_falls] < 0).any():
        # The steps count on where the epochs fall back.
        return _Counting(epoch_keys, "step", step_keys, distinct=False)
    return _Counting(step_keys, "step", step_keys)


def _count_without_counter(table: Mapping[str, Column], training: np.ndarray) -> _Counting:
    rows = np.arange(next(iter(table.values())).values.size, dtype=np.float64)
    others = np.ones(rows.size, dtype=bool)
    others[training] = False
    alternating = any(column.logged[others].any() for column in table.values())
    return _Counting(rows, "epoch", None if alternating else rows)


def _combined(epochs: np.ndarray, steps: np.ndarray) -> _Counting:
    """Steps that start over in each epoch, counted through."""
    span = np.ptp(steps) + 1
    keys = (epochs - epochs.min()) * span + steps
    return _Counting(keys, "step", keys)


def _complete_counter(table: Mapping[str, Column], training: np.ndarray, kind: Literal["epoch", "step"]) -> str | None:
    """The first column that counts every row of the judged series."""
    for name in find_counters(table, kind):
        counts = table[name].values[training]
        # A column that never changes is a setting, such as the size of a batch.
        is_setting = kind == "step" and counts.size > 1 and np.ptp(counts) == 0
        if (np.abs(counts) < MAX_EPOCH).all() and not is_setting:
            return name
    return None


def _check_counters(table: Mapping[str, Column], training: np.ndarray) -> None:
    """Refuses a counter that is damaged; with another one in order, it would not be missed."""
    present = [name for name in COUNTER_NAMES if name in table and table[name].logged.any()]
    damaged = [name for name in present if not (np.abs(table[name].values[training]) < MAX_EPOCH).all()]
    if damaged:
        raise CurveError(
            f"The column `{damaged[0]}` must hold numbers below 2**53. Received: missing or larger ones. "
            "Fill in the column, or leave it out."
        )


def _whole(numbers: np.ndarray) -> bool:
    return bool((np.abs(numbers) < MAX_EPOCH).all() and (numbers == np.round(numbers)).all())


def _order_in_time(keys: np.ndarray, training: np.ndarray) -> np.ndarray | None:
    """The order in which the rows were logged, for a table that was sorted by something else; None for any other.

    A sorted table has the newest row first, or each count of a gapless series once. Resumed training counts some rows
    again. If the counts fall only once, to below the first count, another run begins there.
    """
    at = keys[training]
    falls = np.flatnonzero(np.diff(at) < 0) + 1
    if at.size < 3 or not falls.size:
        return None
    if falls.size == at.size - 1:
        return np.arange(keys.size)[::-1]
    gaps = np.diff(np.sort(at))
    is_another_run = falls.size == 1 and at[falls[0]] < at[0]
    if is_another_run or gaps[0] <= 0 or not np.allclose(gaps, gaps[0]):
        return None
    return np.argsort(keys, kind="stable")


def _run_starts(keys: np.ndarray) -> list[int]:
    """Where the keys fall back to the first key of a run, and so begin another."""
    starts = [0]
    for fall in np.flatnonzero(np.diff(keys) < 0) + 1:
        if keys[fall] <= keys[starts[-1]]:
            starts.append(int(fall))
    return starts


def _continued(starts: list[int], loss: np.ndarray) -> list[int]:
    """The starts at which training goes on with the weights of the run before: the loss begins near its last."""
    found = []
    for before, start in itertools.pairwise(starts):
        run, first = loss[before:start], loss[start]
        if run.size < MIN_CONTINUED or not (np.isfinite(run).all() and np.isfinite(first)):
            continue
        if run[0] > run.min() and first <= run[-1] + CONTINUED_PART * (run[0] - run.min()):
            found.append(start)
    return found


def _counted_on(counting: _Counting, places: np.ndarray) -> _Counting:
    """The counting with the rows from each place on counted on from the row before it."""
    keys = counting.keys.copy()
    for place in places:
        keys[place:] += keys[:place].max() + 1 - keys[place]
    return counting._replace(keys=keys, numbers=None if counting.numbers is None else keys)


def _chosen_run(run: str | int | None, count: int) -> int:
    if run is None:
        return count - 1
    names = [f"run {number}" for number in range(1, count + 1)]
    name = f"run {run}" if isinstance(run, int) else run
    if name not in names:
        raise InvalidArgumentError(f"`run` must be one of {names}. Received: {run!r}. Choose one of these runs.")
    return names.index(name)


def _lowest_fall_after(keys: np.ndarray, *, distinct: bool) -> np.ndarray:
    """The lowest key to which training falls back after each row, shape `(n,)`; infinite if it never does again."""
    steps = np.diff(keys)
    falls = np.where(steps <= 0 if distinct else steps < 0, keys[1:], np.inf)
    return np.append(np.minimum.accumulate(falls[::-1])[::-1], np.inf)


def _training_place(keys: np.ndarray, training: np.ndarray) -> np.ndarray:
    """For every row, the index in `training` of the row that it belongs to.

    A row between two of them belongs to the one before, unless it has fallen back already.
    """
    after = np.searchsorted(training, np.arange(keys.size), side="left")
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, training.size - 1)
    is_training = training[after] == np.arange(keys.size)
    falls = (keys[training[after]] < keys[training[before]]) & (keys < keys[training[before]])
    return np.where(is_training | falls, after, before)
