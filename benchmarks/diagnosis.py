"""How often the verdict on a learning rate is right, on tasks that the scorecard was not fitted on.

`python benchmarks/diagnosis.py` prints the tables and writes `benchmarks/results/diagnosis.md`. With `--fit` it also
fits the scorecard on all tasks and writes `keras_lr/analysis/_diagnosis/scorecard_table.py`. Needs scikit-learn (the
`examples` extra).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _advice_score import CORPUS
from _diagnosis_card import LABELS, Scorecard, fit
from _diagnosis_runs import load_runs
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from keras_lr.analysis._diagnosis.features import FEATURE_NAMES, METRIC_FEATURES

HERE = Path(__file__).parent
TABLE = HERE.parent / "keras_lr" / "analysis" / "_diagnosis" / "scorecard_table.py"


def judge(runs: pd.DataFrame, pool: list[str]) -> pd.DataFrame:
    """Verdicts on complete runs of each task in `pool` by a card fitted on the others, with and without the metric."""
    judged = []
    for task in pool:
        card = fit(runs[runs["task"].isin(pool) & (runs["task"] != task)], FEATURE_NAMES, METRIC_FEATURES)
        own = runs[(runs["task"] == task) & (runs["budget"] == 1)].copy()
        bare = own.assign(**dict.fromkeys(METRIC_FEATURES, np.nan))
        for column, rows in (("verdict", own), ("verdict without metric", bare)):
            open_ = own["rule"].isna()
            own[column] = own["rule"]
            own.loc[open_, column] = card.predict(rows.loc[open_, list(FEATURE_NAMES)].to_numpy(dtype=float))
        judged.append(own)
    return pd.concat(judged)


def accuracy_and_opposite(judged: pd.DataFrame, column: str = "verdict") -> tuple[float, float]:
    """Balanced accuracy, and the fraction of runs with the opposite of the right verdict."""
    pairs = judged["label"] + ">" + judged[column]
    opposite = pairs.isin(["too_low>too_high", "too_high>too_low"]).mean()
    return balanced_accuracy_score(judged["label"], judged[column]), float(opposite)


def summary(name: str, judged: pd.DataFrame) -> str:
    """One section of the result in Markdown."""
    accuracy, opposite = accuracy_and_opposite(judged)
    bare, bare_opposite = accuracy_and_opposite(judged, "verdict without metric")
    counts = confusion_matrix(judged["label"], judged["verdict"], labels=LABELS)
    lines = [
        f"## {name}",
        "",
        f"{len(judged)} runs: balanced accuracy {accuracy:.3f}, opposite verdict {opposite:.2%}; "
        f"from the loss alone {bare:.3f} and {bare_opposite:.2%}.",
        "",
        "| true \\ verdict | " + " | ".join(LABELS) + " |",
        "|-|-|-|-|",
        *(f"| {label} | " + " | ".join(map(str, row)) + " |" for label, row in zip(LABELS, counts, strict=True)),
    ]
    return "\n".join(lines) + "\n"


def by_task(judged: pd.DataFrame) -> str:
    """Balanced accuracy of each task in Markdown, the lowest first."""
    scores = {task: accuracy_and_opposite(part) for task, part in judged.groupby("task")}
    rows = [
        f"| {task} | {score[0]:.2f} | {score[1]:.1%} |" for task, score in sorted(scores.items(), key=lambda i: i[1])
    ]
    return "\n".join(["## By task", "", "| task | balanced accuracy | opposite |", "|-|-|-|", *rows]) + "\n"


def write_table(card: Scorecard) -> None:
    """Writes the fitted scorecard as a Python module."""
    knots, points, intercepts = card.table()

    def rounded(values: np.ndarray) -> str:
        return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"

    def block(table: list[np.ndarray]) -> str:
        return "(\n" + "".join(f"    {rounded(row)},\n" for row in table) + ")"

    classes = "(\n" + "".join(f"    {block(table)},\n" for table in points) + ")"
    TABLE.write_text(
        '"""Knots and points of the scorecard, written by `python benchmarks/diagnosis.py --fit`."""\n\n'
        f"KNOTS = {block(knots)}\nPOINTS = {classes}\nINTERCEPTS = {rounded(intercepts)}\n"
    )


def main() -> None:
    """Judges, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="also write the package's scorecard, fitted on all tasks")
    refit = parser.parse_args().fit
    runs = load_runs(HERE / "data")
    judged = judge(runs, sorted(runs["task"].unique()))
    corpus = judged["task"].isin(CORPUS)
    sections = [
        "# Verdicts on unseen tasks (leave one task out)\n",
        summary("The ten tasks of the corpus", judged[corpus]),
        summary("Further tasks", judged[~corpus]),
        summary("All tasks", judged),
        summary("The ten tasks of the corpus, each judged by the other nine alone", judge(runs, list(CORPUS))),
        by_task(judged),
    ]
    text = "\n".join(sections)
    print(text)
    (HERE / "results" / "diagnosis.md").write_text(text)
    if refit:
        write_table(fit(runs, FEATURE_NAMES, METRIC_FEATURES))


if __name__ == "__main__":
    main()
