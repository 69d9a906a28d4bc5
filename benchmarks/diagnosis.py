"""How often the verdict on a learning rate is right, judged on tasks the scorecard has not seen.

`python benchmarks/diagnosis.py` prints the table and writes `benchmarks/results/diagnosis.md`; with `--fit`
it also writes `keras_lr/analysis/scorecard_table.py` from all tasks. Needs scikit-learn (the `examples` extra).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from keras_lr.analysis.features import FEATURE_NAMES, features
from keras_lr.analysis.history_columns import MIN_EPOCHS, from_columns

HERE = Path(__file__).parent
TABLE = HERE.parent / "keras_lr" / "analysis" / "scorecard_table.py"
VERDICTS = ["good", "too_high", "too_low"]
CORPUS = [
    "bcancer-mlp-rmsprop",
    "diabetes-mlp-adam",
    "digits-ae-adam",
    "digits-cnn-sgdm",
    "digits-deepbn-adamw",
    "digits-mlp-adam",
    "digits-mlp-sgd",
    "friedman-mlp-sgdm",
    "synthcls-mlp-nadam",
    "synthseq-gru-adam",
]


def true_labels(grid: pd.DataFrame) -> dict[float, str]:
    """Each learning rate's label by regret, without those between the labels."""
    rates = np.sort(grid["lr"].unique())
    untrained = grid[(grid["lr"] == rates[0]) & (grid["epoch"] == 0)]["val_loss"].median()
    finite = grid.assign(val_loss=grid["val_loss"].where(np.isfinite(grid["val_loss"]), 10 * untrained))
    scores = finite.groupby(["lr", "seed"])["val_loss"].min().groupby("lr").median()
    regrets = ((scores - scores.min()) / (untrained - scores.min())).clip(0, 1)
    best = scores.idxmin()
    labels = {
        rate: "good" if regret <= 0.05 else "too_low" if rate < best else "too_high" for rate, regret in regrets.items()
    }
    return {rate: label for rate, label in labels.items() if not 0.05 < regrets[rate] <= 0.10}


def load_runs(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, tasks and whether the loss was "finite", "diverged" or "refused"."""
    rows, labels, tasks, finite = [], [], [], []
    for path in sorted(folder.glob("*.grid.csv*")):
        grid = pd.read_csv(path)
        truth = true_labels(grid)
        for (rate, _), run in grid.groupby(["lr", "seed"]):
            if rate not in truth:
                continue
            run = run.sort_values("epoch")
            bounded = len(run) >= MIN_EPOCHS and bool(np.isfinite(run["loss"]).all())
            rows.append(_features(run) if bounded else np.zeros(len(FEATURE_NAMES)))
            labels.append(truth[rate])
            tasks.append(path.name.split(".")[0])
            finite.append("finite" if bounded else "diverged" if _readable(run) else "refused")
    return np.array(rows), np.array(labels), np.array(tasks), np.array(finite)


def _readable(run: pd.DataFrame) -> bool:
    return len(run) >= MIN_EPOCHS and bool(np.isfinite(run["loss"]).any())


def _features(run: pd.DataFrame) -> np.ndarray:
    return features(from_columns({"loss": run["loss"], "val_loss": run["val_loss"]}))


def fit(rows: np.ndarray, labels: np.ndarray):
    """The additive piecewise-linear scorecard."""
    spline = SplineTransformer(4, degree=1, knots="quantile", extrapolation="constant")
    return make_pipeline(spline, LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)).fit(rows, labels)


def leave_one_task_out(rows: np.ndarray, labels: np.ndarray, tasks: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Each run's verdict by a scorecard fitted on the other tasks; a diverged loss is too high by rule.

    A run that the reader refuses (never a finite loss, or under three epochs) counts as "unclear", and so as wrong.
    """
    verdicts = np.empty_like(labels)
    for task in np.unique(tasks):
        use = (tasks != task) & (finite == "finite")
        verdicts[tasks == task] = fit(rows[use], labels[use]).predict(rows[tasks == task])
    return np.where(finite == "finite", verdicts, np.where(finite == "diverged", "too_high", "unclear"))


def summary(name: str, labels: np.ndarray, verdicts: np.ndarray) -> str:
    """One section of the result in Markdown."""
    opposite = np.mean(
        ((labels == "too_low") & (verdicts == "too_high")) | ((labels == "too_high") & (verdicts == "too_low"))
    )
    accuracy = balanced_accuracy_score(labels, verdicts)
    counts = confusion_matrix(labels, verdicts, labels=VERDICTS)
    lines = [
        f"## {name}",
        "",
        f"{labels.size} runs, balanced accuracy {accuracy:.3f}, opposite advice {opposite:.2%}.",
        "",
    ]
    lines += ["| true \\ verdict | " + " | ".join(VERDICTS) + " |", "|-|-|-|-|"]
    return (
        "\n".join(
            lines
            + [f"| {label} | " + " | ".join(map(str, row)) + " |" for label, row in zip(VERDICTS, counts, strict=True)]
        )
        + "\n"
    )


def write_table(rows: np.ndarray, labels: np.ndarray) -> None:
    """Writes the fitted scorecard as a Python module."""
    spline, model = fit(rows, labels)
    knots = [np.array(piece.t[1:-1]) for piece in spline.bsplines_]
    points = model.coef_.reshape(3, rows.shape[1], -1)

    def rounded(values: np.ndarray) -> str:
        return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"

    def block(table) -> str:
        return "(\n" + "".join(f"    {rounded(row)},\n" for row in table) + ")"

    classes = "(\n" + "".join(f"    {block(table)},\n" for table in points) + ")"
    TABLE.write_text(
        '"""Knots and points of the scorecard, written by `python benchmarks/diagnosis.py --fit`."""\n\n'
        f"KNOTS = {block(knots)}\nPOINTS = {classes}\nINTERCEPTS = {rounded(model.intercept_)}\n"
    )


def main() -> None:
    """Judges, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="also write the scorecard the package uses, from all tasks")
    rows, labels, tasks, finite = load_runs(HERE / "data")
    verdicts = leave_one_task_out(rows, labels, tasks, finite)
    corpus = np.isin(tasks, CORPUS)
    text = "# Verdicts on unseen tasks (leave one task out)\n\n" + summary(
        "The ten tasks of the corpus", labels[corpus], verdicts[corpus]
    )
    text += "\n" + summary("The further tasks", labels[~corpus], verdicts[~corpus])
    print(text)
    (HERE / "results" / "diagnosis.md").write_text(text)
    if parser.parse_args().fit:
        use = finite == "finite"
        write_table(rows[use], labels[use])


if __name__ == "__main__":
    main()
