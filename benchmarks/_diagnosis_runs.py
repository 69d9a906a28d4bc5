"""The labelled runs on which verdicts are judged, with their features and the facts that settle them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from _advice_cases import constant_losses

from keras_lr.analysis._diagnosis.facts import ruled_out, settled_verdict
from keras_lr.analysis._diagnosis.features import FEATURE_NAMES, features
from keras_lr.analysis._diagnosis.findings import divergence_finding
from keras_lr.analysis._diagnosis.history import MIN_EPOCHS, RunContext, TrainingHistory, at_the_end, from_columns
from keras_lr.errors import CurveError
from keras_lr.results._diagnosis import Finding

BUDGETS = (1.0, 0.7, 0.5, 1 / 3)
END_BUDGETS = (1.0, 0.5)
MIN_BUDGET_EPOCHS = 4
WORKERS = 2

STATES = {
    "loss alone": (),
    "and validation": ("val_loss",),
    "and metric": ("val_loss", "accuracy", "val_accuracy"),
    "and untrained loss": ("val_loss", "accuracy", "val_accuracy", "untrained"),
    "and optimizer and rate": ("val_loss", "accuracy", "val_accuracy", "untrained", "rate"),
    "and a constant output": ("val_loss", "accuracy", "val_accuracy", "untrained", "rate", "constant"),
}
"""What is known of a run beside its training loss."""

CARD_STATES = {
    "loss": ("accuracy",),
    "validation": ("val_loss", "accuracy", "val_accuracy"),
    "untrained": ("accuracy", "untrained"),
    "validation and untrained": ("val_loss", "accuracy", "val_accuracy", "untrained"),
}
"""For which knowledge each scorecard is fitted."""

CONSTANT = "with a constant output: "
"""What stands before the names of the features if the loss of the best constant output is known."""

VIEWS = ("", "at the end: ")
"""What stands before the names of the features of each view of a run: as logged, and about at the end of each epoch."""

Log = Literal["mean", "end"]
"""What a training loss was logged as: Keras writes the mean over the epoch, others its value at the end."""

OPTIMIZERS = {"gradientdescent": "sgd", "sgdm": "momentum", "sgdm95": "momentum", "nesterov": "momentum"}
OPTIMIZERS |= {name: name for name in ("adam", "adamw", "nadam", "adamax", "rmsprop", "sgd", "momentum")}
OPTIMIZERS |= {name: name for name in ("adagrad", "adadelta", "lion")}
"""The optimizer's name in the package, by its part of a task's name."""


def true_labels(grid: pd.DataFrame, untrained: float) -> dict[float, str]:
    """The label of each learning rate by its regret, without rates between two labels."""
    finite = grid.assign(val_loss=grid["val_loss"].where(np.isfinite(grid["val_loss"]), 10 * untrained))
    scores = finite.groupby(["lr", "seed"])["val_loss"].min().groupby("lr").median()
    regrets = ((scores - scores.min()) / (untrained - scores.min())).clip(0, 1)
    best = scores.idxmin()
    labels = {
        rate: "good" if regret <= 0.05 else "too_low" if rate < best else "too_high" for rate, regret in regrets.items()
    }
    return {rate: label for rate, label in labels.items() if not 0.05 < regrets[rate] <= 0.10}


def load_runs(folder: Path, budgets: tuple[float, ...] = BUDGETS, *, log: Log = "mean") -> pd.DataFrame:
    """One row per run and budget of the sweeps `TASK.grid.csv` in a folder, plain or gzipped.

    A budget below 1 is the same task, stopped early and labelled by its results up to then. The columns are task,
    budget, lr, label, the features, and for each state of knowledge the verdict that a fact settles and those that
    facts rule out.

    Args:
        folder: Where the sweeps are.
        budgets: Parts of the epochs.
        log: "mean" for the training loss as recorded, "end" for what it was about at each epoch's end if the record is
            Keras's mean over the epoch.
    """
    paths = sorted(folder.glob("*.grid.csv*"))
    with ProcessPoolExecutor(WORKERS) as pool:
        parts = pool.map(_task_runs, paths, [budgets] * len(paths), [log] * len(paths))
        return pd.DataFrame([row for part in parts for row in part])


def _task_runs(path: Path, budgets: tuple[float, ...], log: Log) -> list[dict[str, object]]:
    grid = pd.read_csv(path).sort_values("epoch", kind="stable")
    name, epochs = path.name.split(".")[0], int(grid["epoch"].max()) + 1
    first_losses = _first_losses(path)
    rows = []
    for budget in budgets:
        length = max(MIN_BUDGET_EPOCHS, round(budget * epochs))
        if budget < 1 and length == epochs:
            continue
        part = grid[grid["epoch"] < length]
        labels = true_labels(part, _untrained(grid))
        for (rate, seed), run in part.groupby(["lr", "seed"]):
            if rate in labels:
                known = {"task": name, "budget": budget, "lr": rate, "label": labels[rate]}
                shown = run if log == "mean" else _at_the_end(run)
                rows.append(known | _measured(shown, name, first_losses.get(seed, _untrained(grid))))
    return rows


def _at_the_end(run: pd.DataFrame) -> pd.DataFrame:
    """The run without its last epoch, with the mean of two epochs for what was between them."""
    if len(run) < MIN_BUDGET_EPOCHS:
        return run
    between = {name: (run[name] + run[name].shift(-1)) / 2 for name in ("loss", "accuracy") if name in run}
    return run.assign(**between).iloc[:-1]


def _untrained(grid: pd.DataFrame) -> float:
    """The validation loss before training, or what is closest to it: after an epoch at the lowest rate."""
    if "untrained_val_loss" in grid:
        return float(grid["untrained_val_loss"].median())
    return float(grid[(grid["lr"] == grid["lr"].min()) & (grid["epoch"] == 0)]["val_loss"].median())


def _first_losses(path: Path) -> dict[int, float]:
    """By seed, the first batch's own loss before the first step, which is all that a callback sees."""
    short = path.with_name(path.name.replace(".grid.", ".short."))
    if not short.exists():
        return {}
    steps = pd.read_csv(short)
    return steps[steps["step"] == 0].groupby("seed")["loss"].first().to_dict()


def _measured(run: pd.DataFrame, name: str, untrained: float) -> dict[str, object]:
    rate = float(run["lr"].iloc[0])
    optimizer = next((OPTIMIZERS[part] for part in name.replace("_", "-").split("-") if part in OPTIMIZERS), None)
    columns = {column: run[column].to_numpy() for column in ("loss", "val_loss", "accuracy", "val_accuracy")}
    columns = {column: values for column, values in columns.items() if np.isfinite(values).any() or "loss" in column}
    constant = constant_losses().get(name)
    everything = RunContext(untrained_loss=untrained, baseline_loss=constant, optimizer=optimizer, learning_rate=rate)
    contexts = {"": replace(everything, baseline_loss=None), CONSTANT: everything}
    names = [known + view + name for known in contexts for view in VIEWS for name in FEATURE_NAMES]
    found: dict[str, object] = {**dict.fromkeys(names, np.nan), "near_default": everything.is_near_default}
    states = {**STATES, **CARD_STATES}
    try:
        history = from_columns(columns)
    except CurveError:
        return found | {f"settled {state}": "unclear" for state in states}
    findings = _divergence(history)
    for state, known in states.items():
        context = RunContext(
            untrained_loss=untrained if "untrained" in known else None,
            baseline_loss=constant if "constant" in known else None,
            optimizer=optimizer if "rate" in known else None,
            learning_rate=rate if "rate" in known else None,
        )
        seen = _as_known(history, known)
        fact = settled_verdict(seen, context, findings)
        found[f"settled {state}"] = None if fact is None else fact.verdict
        found[f"excluded {state}"] = tuple(ruled_out(seen, context)) if fact is None else ()
    if found["settled loss alone"] is None:
        for view, seen in zip(VIEWS, (history, at_the_end(history)), strict=True):
            for known, context in contexts.items():
                found |= {known + view + name: value for name, value in features(seen, context).items()}
    return found


def _as_known(history: TrainingHistory, known: tuple[str, ...]) -> TrainingHistory:
    """The history without the series that are not known."""
    hidden = {} if "val_loss" in known else {"val_values": None, "val_metric": None, "val_accuracy": None}
    if "accuracy" not in known:
        hidden |= {"metric": None, "val_metric": None, "accuracy": None, "val_accuracy": None}
    return replace(history, **hidden)


def _divergence(history: TrainingHistory) -> list[Finding]:
    """The only finding that settles a verdict; it depends on the training loss alone."""
    finite = np.isfinite(history.loss)
    end = history.loss.size if finite.all() else int(np.argmin(finite))
    found = divergence_finding(history, end) if end >= MIN_EPOCHS else None
    return [] if found is None else [found]
