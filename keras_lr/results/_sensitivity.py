"""What a search over learning rates measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict, cast, get_args

import numpy as np

from keras_lr._utils.formatting import counted, format_rate
from keras_lr.results._range_test import Confidence, check_rates
from keras_lr.results._record import PageRecord, float_array, integer, json_object, optional_float, text

if TYPE_CHECKING:
    import pandas as pd

RunStatus = Literal["ok", "diverged", "pruned", "failed"]
RUN_STATUS_NAMES: dict[RunStatus, str] = {
    "ok": "trained",
    "diverged": "diverged",
    "pruned": "stopped early",
    "failed": "failed",
}

EngineName = Literal["stacked", "function", "reuse", "rebuild"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
"""How the runs of a search are trained, from the fastest to the slowest."""

LOST_SHARE = 0.05
"""Share of the gain that a rate may lose and still be usable; as much may be given up for a stable rate."""

BasinBy = Literal["noise", "gain"]
BASIN_NAMES: dict[BasinBy, str] = {
    "noise": "as good within noise",
    "gain": f"loses at most {LOST_SHARE:.0%} of the gain",
}
"""What is true of the rates in a basin."""
_INSIDE: dict[BasinBy, str] = {
    "noise": BASIN_NAMES["noise"],
    "gain": f"at most {LOST_SHARE:.0%} of the gain lost",
}
"""The same without a verb."""
_OUTSIDE: dict[BasinBy, str] = {
    "noise": "is worse than noise explains",
    "gain": f"loses more than {LOST_SHARE:.0%} of the gain",
}
"""What is true of all other rates."""

# The columns of a search's rows, in its records, its frame and its report.
KEY_COLUMNS = ("learning_rate", "repeat", "batch_size", "epoch")
"""Identify a row, which is sorted by them in this order."""
INTEGER_COLUMNS = ("repeat", "batch_size", "epoch", "seed")
"""The other columns hold floats, except for `status` and `chaotic`."""
FRAME_COLUMNS = (*KEY_COLUMNS, "seed", "loss", "val_loss", "status")
"""Present in every frame; further metrics stand before `status`."""
CHAOTIC = "chaotic"
"""The last column of every frame. Results of earlier versions lack it; it is then False in every row."""
OWN_COLUMNS = (*KEY_COLUMNS, "seed", "status", CHAOTIC, "message", "event")
"""Written by the search itself, so no metric may take these names; the last two occur in the records only."""
_NAMED_RATES = 4


class DroppedRate(TypedDict):
    """Where and why a rate left a race."""

    learning_rate: float
    epoch: int
    why: str
    reason: str


class RaceComparison(TypedDict):
    """After which epoch rates were compared, and which went on or joined."""

    epoch: int
    kept: list[float]
    added: list[float]


class RaceSummary(TypedDict):
    """What `SensitivityResult.race` holds."""

    epochs: int
    budget: float
    cost: float
    finished: bool
    dropped: list[DroppedRate]
    comparisons: list[RaceComparison]


@dataclass(frozen=True, eq=False)
class SensitivityResult(PageRecord):
    """How the outcome of training depends on the learning rate, and which rates are as good as the best.

    Attributes:
        frame: One row per learning rate, repeat, batch size and epoch, with the columns `learning_rate`, `repeat`,
            `batch_size`, `epoch` (from 0), `seed`, `loss`, `val_loss` (NaN without validation data), each metric and
            its `val_` counterpart, and `status`. The status in a run's last row says how it ended: "ok", "diverged"
            (its loss became non-finite, stored as NaN), "pruned" (stopped early, so its curve is partial) or "failed"
            (an exception). `chaotic` is True for every row of a learning rate and batch size at which a run that began
            with weights changed in their last bit came to another loss: there, the numbers of single runs also depend
            on the machine and on what is trained beside them. Engines other than "stacked" look for such rates from
            the highest one down to the first that is stable, in at most an eighth of the epochs or one run. It is False
            if that is unknown, as it is after a race, with callbacks, and for data that only `fit` reads.
        objective: Column that is compared.
        direction: "min" or "max".
        best_learning_rate: Rate with the best median, over its repeats, of each run's best epoch; None if no run
            trained. A rate with a diverged repeat is passed over for a stable one when that costs little.
        low: Lower end of the basin, the rates around the best that are as good within noise, since the repeats cannot
            be distinguished from those of the best; None if `best_learning_rate` is None.
        high: Upper end of the basin; None if `best_learning_rate` is None.
        at_edge: Whether the best is the lowest or the highest rate of the grid, so that a better one may lie beyond.
        confidence: "clear", "tentative" or "none".
        reason: What gave the best value, followed by the `doubts`.
        engine: How the runs were trained: "stacked", "function", "reuse" or "rebuild"; the slowest if several were
            used.
        engine_reason: Why no faster engine could be used; empty if the fastest was.
        best_batch_size: Batch size of the best run, at which `low` and `high` were determined; None if no run trained.
        environment: Versions, devices, optimizer and precision of the search; may be empty.
        basin_by: What bounds the basin: "noise"; or "gain" if too few repeats leave the noise unknown, so that the
            basin is the usable range.
        usable_low: Lower end of the usable range, the rates around the best whose medians lose at most 5% of the gain
            against it. The gain leads from the median of all runs after the first epoch to the best median. None if
            `best_learning_rate` is None, and in results that earlier versions stored.
        usable_high: Upper end of the usable range; None if `usable_low` is None.
        lr_sensitivity: Share of the gain that a rate drawn log-uniformly from the searched range loses on average: 0 if
            no rate is worse than another, 1 if only the best trains (Wortsman et al. 2023, arXiv:2309.14322). None for
            a single rate, without a gain, after a race, and in results that earlier versions stored.
        race: How a `RaceSearch` came to its answer; None for any other search. `epochs` is the length of a complete
            training, `budget` and `cost` count complete runs at rates other than the best, and `finished` says
            whether the race is over. `dropped` lists each rate that was dropped with `learning_rate`, `epoch`, `why`
            ("beaten", "behind" or "diverged") and `reason`, and `comparisons` each comparison with its `epoch` and the
            rates `kept` and `added`.
        known: What is known of the runs beside their series, as far as it is known: `untrained_loss` (of the first
            repeat, on its first batch), `baseline_loss` (that of the best constant output), `optimizer`, `loss` and
            `steps_per_epoch`.
        doubts: What keeps the answer from being clear, one sentence or two each; `reason` ends with them. Empty in
            results that earlier versions stored.

    Example:
        >>> result = tuner.sensitivity()
        >>> print(result.best_learning_rate, result.low, result.high, result.confidence)
    """

    kind: ClassVar[str] = "sensitivity"
    page_title: ClassVar[str] = "Learning-rate sensitivity"
    former_names: ClassVar[Mapping[str, str]] = MappingProxyType({"tier": "engine", "tier_reason": "engine_reason"})
    _elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(("learning_rate", "lr", "suggestion", "suggested_lr"), "best_learning_rate") | {**former_names}
    )

    frame: pd.DataFrame
    objective: str
    direction: Literal["min", "max"]
    best_learning_rate: float | None
    low: float | None
    high: float | None
    at_edge: bool
    confidence: Confidence
    reason: str
    engine: str
    engine_reason: str = ""
    best_batch_size: int | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    basin_by: BasinBy = "noise"
    usable_low: float | None = None
    usable_high: float | None = None
    lr_sensitivity: float | None = None
    race: RaceSummary | None = None
    known: dict[str, Any] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [name for name in (*FRAME_COLUMNS, self.objective) if name not in self.frame.columns]
        if missing:
            raise ValueError(f"`frame` must have the columns {missing}. Received: {list(self.frame.columns)}.")
        unknown = sorted({str(status) for status in self.frame["status"].unique()} - set(get_args(RunStatus)))
        if CHAOTIC not in self.frame.columns:
            object.__setattr__(self, "frame", self.frame.assign(**{CHAOTIC: False}))
        if unknown:
            raise ValueError(f"`status` must be one of {get_args(RunStatus)}. Received: {unknown}.")
        if self.direction not in ("min", "max"):
            raise ValueError(f"`direction` must be 'min' or 'max'. Received: {self.direction!r}.")
        if self.basin_by not in get_args(BasinBy):
            raise ValueError(f"`basin_by` must be one of {get_args(BasinBy)}. Received: {self.basin_by!r}.")
        check_rates(self.confidence, self.low, self.best_learning_rate, self.high)
        if self.usable_low is not None or self.usable_high is not None:
            check_rates(self.confidence, self.usable_low, self.best_learning_rate, self.usable_high)

    @property
    def learning_rates(self) -> np.ndarray:
        """The rates that were tried, increasing, shape `(n_rates,)`."""
        return np.unique(self.frame["learning_rate"].to_numpy(dtype=np.float64))

    @property
    def chaotic_learning_rates(self) -> np.ndarray:
        """The rates with chaotic runs, increasing, shape `(n_chaotic_rates,)`; see `frame`."""
        chaotic = self.frame.loc[self.frame[CHAOTIC].astype(bool), "learning_rate"]
        return np.unique(chaotic.to_numpy(dtype=np.float64))

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The batch sizes that were tried, increasing."""
        return tuple(int(size) for size in sorted(self.frame["batch_size"].unique()))

    @property
    def repeats(self) -> int:
        """Number of repeats per rate."""
        return int(self.frame["repeat"].nunique())

    def to_frame(self) -> pd.DataFrame:
        """A copy of `frame`, with `lr_sensitivity` in its `attrs`."""
        frame = self.frame.copy()
        frame.attrs["lr_sensitivity"] = self.lr_sensitivity
        return frame

    def best_by_epochs(self) -> pd.DataFrame:
        """The best rate and its basin for each number of epochs, read off the curves.

        One row per number of epochs, with the columns `epochs`, `best_learning_rate`, `low`, `high`, `at_edge`,
        `confidence` and `best_batch_size`.
        """
        from keras_lr.analysis._sensitivity import best_by_epochs

        frame: pd.DataFrame = best_by_epochs(self)
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers, with `kind` and `schema_version`; `frame` by columns."""
        columns = {name: self.frame[name].tolist() for name in self.frame.columns}
        return {**super().to_dict(), "frame": {name: _finite(values) for name, values in columns.items()}}

    def plot(self, ax: Any = None) -> Any:
        """Draws the U-curve on `ax`, a matplotlib Axes (that of a new pyplot figure if None), and returns it."""
        from keras_lr.plots import plot_sensitivity

        return plot_sensitivity(self, ax=ax)

    def to_optuna(self, **kwargs: Any) -> Any:
        """This result as an `optuna.Study`; see `keras_lr.integrations.to_optuna` for the arguments."""
        from keras_lr.integrations import to_optuna

        return to_optuna(self, **kwargs)

    @property
    def _title(self) -> str:
        return self.page_title if self.race is None else "Learning-rate race"

    def __repr__(self) -> str:
        best = "none" if self.best_learning_rate is None else format_rate(self.best_learning_rate, digits=3)
        return (
            f"SensitivityResult({counted(len(self.learning_rates), 'learning rate')} x "
            f"{counted(self.repeats, 'repeat')}, "
            f"best_learning_rate={best}, confidence={self.confidence!r}, engine={self.engine!r})"
        )

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        parsed = dict(values)
        parsed["frame"] = _frame(values["frame"])
        for name in ("best_learning_rate", "low", "high"):
            parsed[name] = optional_float(values[name])
        for name in ("usable_low", "usable_high", "lr_sensitivity"):
            parsed[name] = optional_float(values.get(name))
        for name in ("objective", "direction", "reason", "engine", "engine_reason", "basin_by"):
            if name in parsed:
                parsed[name] = text(parsed[name])
        if not isinstance(values["at_edge"], bool):
            raise TypeError("expected true or false for `at_edge`")
        if values.get("best_batch_size") is not None:
            parsed["best_batch_size"] = integer(values["best_batch_size"])
        json_object("environment", values.get("environment", {}))
        parsed["known"] = json_object("known", values.get("known", {}))
        parsed["doubts"] = tuple(text(doubt) for doubt in values.get("doubts", ()))
        if values.get("race") is not None:
            parsed["race"] = _race(json_object("race", values["race"]))
        if "basin_by" not in parsed:
            parsed["basin_by"] = "noise" if parsed["frame"]["repeat"].nunique() > 1 else "gain"
        return parsed


def best_in_words(result: SensitivityResult) -> str:
    """The best rate with its basin and confidence in one sentence; the reason if there is none."""
    rate, low, high = result.best_learning_rate, result.low, result.high
    if rate is None or low is None or high is None:
        return f"no usable learning rate found. {result.reason}"
    return f"best learning rate {format_rate(rate, digits=3)}, {result.confidence}, {basins_in_words(result)}."


def basins_in_words(result: SensitivityResult) -> str:
    """Which other rates will do: `as good within noise from 1e-3 to 1e-2; at most 5% of the gain lost from ...`."""
    return "; ".join(
        f"every other rate {' and '.join(_OUTSIDE[name] for name in names)}"
        if low == high
        else f"{' and '.join(_INSIDE[name] for name in names)} from {low} to {high}"
        for (low, high), names in _basins_by_ends(result).items()
    )


def basin_sentences(result: SensitivityResult) -> list[str]:
    """`Anything from 1e-3 to 1e-2 is as good within noise.`; what all other rates do if the best stands alone."""
    within: dict[BasinBy, str] = {"noise": f"is {BASIN_NAMES['noise']}", "gain": BASIN_NAMES["gain"]}
    return [
        f"Every other rate that was tried {' and '.join(_OUTSIDE[name] for name in names)}."
        if low == high
        else f"Anything from {low} to {high} {' and '.join(within[name] for name in names)}."
        for (low, high), names in _basins_by_ends(result).items()
    ]


def _basins_by_ends(result: SensitivityResult) -> dict[tuple[str, str], list[BasinBy]]:
    """The names of the basins by their two ends, as written."""
    found: dict[tuple[str, str], list[BasinBy]] = {}
    for name, (low, high) in basins(result).items():
        found.setdefault((format_rate(low, digits=3), format_rate(high, digits=3)), []).append(name)
    return found


def basins(result: SensitivityResult) -> dict[BasinBy, tuple[float, float]]:
    """The known ranges around the best rate, by what is true of their rates; first the one from `low` to `high`."""
    known: dict[BasinBy, tuple[float | None, float | None]] = {result.basin_by: (result.low, result.high)}
    known.setdefault("gain", (result.usable_low, result.usable_high))
    return {name: (low, high) for name, (low, high) in known.items() if low is not None and high is not None}


def chaos_in_words(result: SensitivityResult) -> tuple[str, str] | None:
    """A sentence on the chaotic rates and one on what to do; None if there are none."""
    rates = [format_rate(float(rate), digits=3) for rate in result.chaotic_learning_rates]
    if not rates:
        return None
    named = ", ".join(rates[:-1]) + f" and {rates[-1]}" if len(rates) > 1 else rates[0]
    if len(rates) > _NAMED_RATES:
        named = f"{len(rates)} learning rates from {rates[0]} to {rates[-1]}"
    return (
        f"At {named} training is chaotic: changing the last bit of the weights changed the loss.",
        "Judge such a rate by all of its runs: on another machine, or beside other rates, each run comes to other "
        "numbers.",
    )


def _race(stored: dict[str, Any]) -> RaceSummary:
    """`stored` itself; raises an error if a part that is shown is missing or of another type."""
    for name in ("epochs", "budget", "cost"):
        optional_float(stored[name])
    for drop in stored["dropped"]:
        for read, name in ((optional_float, "learning_rate"), (integer, "epoch"), (text, "why"), (text, "reason")):
            read(drop[name])
    for comparison in stored["comparisons"]:
        integer(comparison["epoch"])
        float_array([*comparison["kept"], *comparison["added"]], ndim=1)
    return cast(RaceSummary, stored)


def _finite(values: list[Any]) -> list[Any]:
    return [None if isinstance(value, float) and not np.isfinite(value) else value for value in values]


def _frame(columns: Any) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise TypeError("expected an object of lists for `frame`")
    return with_column_types(pd.DataFrame({text(name): values for name, values in columns.items()}))


def with_column_types(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with integers, floats and text in the columns that hold them."""
    integers = {name: "int64" for name in frame.columns if name in INTEGER_COLUMNS}
    floats = {name: "float64" for name in frame.columns if name not in (*INTEGER_COLUMNS, "status", CHAOTIC)}
    booleans = {name: "bool" for name in frame.columns if name == CHAOTIC}
    return frame.astype({**integers, **floats, **booleans})
