"""What the columns of a training log hold: their numbers, and what their names say.

Libraries call the same series `loss`, `train_loss`, `train/loss`, `Loss/train` or `training-logloss`. Some words of a
name say on which data and how often a series was measured; the others name the quantity.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from keras_lr.errors import CurveError
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

TRAINING_WORDS = frozenset({"train", "training", "trn", "tr", "learn"})
# In order of preference, if a quantity was measured on several.
VALIDATION_WORDS = ("val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing")
# A series per step is passed over for one per epoch.
STEP_WORDS = frozenset({"step", "batch", "iter", "iteration"})
NEUTRAL_WORDS = STEP_WORDS | {"epoch", "metric", "metrics", "avg", "average", "running"}
ERROR_WORDS = frozenset(
    {"mse", "mae", "rmse", "mape", "error", "err", "merror", "nll", "ppl", "perplexity", "entropy", "crossentropy"}
    | {"ce", "bce", "kl", "kld", "deviance", "huber", "cost", "objective", "l1", "l2"}
)
# A name with one of these is about a loss, but is none: `loss_scale`, `best_loss`.
DERIVED_WORDS = frozenset({"scale", "scaler", "weight", "coef", "best", "min", "max", "std", "delta"})
TOTAL_WORDS = frozenset({"total", "overall", "sum"})
SINGULARS = {"losses": "loss", "accuracies": "accuracy", "epochs": "epoch", "steps": "step", "batches": "batch"}
SINGULARS |= {"iterations": "iteration", "iters": "iter", "rounds": "round", "updates": "update"}

EPOCH_COUNTERS = (frozenset({"epoch"}), frozenset({"epoch", "number"}), frozenset({"current", "epoch"}))
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


def to_column(name: str, values: Any) -> Column:
    """The column as numbers. One that holds something else and is not needed counts as never logged.

    None, a masked element, and text such as "" or "NA" stand for a value that was not logged.

    Raises:
        CurveError: A loss, a counter or a learning rate holds something that is not a number.
    """
    try:
        column = _parsed(values)
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
        raise CurveError("The column `loss` must hold a value. Received: none at all. Log the training loss.")
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


def find_learning_rate(table: Mapping[str, Column]) -> str | None:
    """The column of learning rates; the first of several, such as one per group of weights."""
    names = [name for name in table if is_learning_rate(name) and table[name].logged.any()]
    return min(names, key=lambda name: name not in LEARNING_RATE_NAMES, default=None)


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
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(SINGULARS.get(word, word) for word in re.split(r"[\W_]+", spaced.lower()) if word)


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


def _parsed(values: Any) -> Column:
    """The numbers in any sequence: an array, a list of anything that `float` takes, or a dict by row."""
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
    numbers = [_number(value) for value in values]
    logged = np.array([number is not None for number in numbers], dtype=bool)
    return Column(np.array([np.nan if number is None else number for number in numbers], dtype=np.float64), logged)


def _number(value: Any) -> float | None:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        return None if text in MISSING_WORDS else NOT_FINITE_WORDS.get(text) or float(text)
    return float(value)
