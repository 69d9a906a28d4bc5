"""How often the verdict on a learning rate is right, on tasks that the scorecards were not fitted on.

`python benchmarks/diagnosis.py` prints the tables and writes `benchmarks/results/diagnosis.md`. `--sweeps DIR` also
judges the sweeps `TASK.grid.csv` in any folder, by the package's own scorecards. `--programs` also trains small Keras
programs with one fault each and counts how often the rate is blamed. `--fit` fits the scorecards on all tasks here and
writes `keras_lr/analysis/_diagnosis/scorecard_table.py`. Needs scikit-learn (the `examples` extra).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from _advice_score import CORPUS, SAMPLED
from _diagnosis_card import fit, shares
from _diagnosis_runs import END_BUDGETS, STATES, load_runs
from sklearn.metrics import confusion_matrix, recall_score
from sklearn.model_selection import GroupKFold

from keras_lr.analysis import analyze_history
from keras_lr.analysis._diagnosis.diagnose import FACTORS
from keras_lr.analysis._diagnosis.scorecard import CARDS, SCORED_VERDICTS, TABLES, CardTable, least_share

HERE = Path(__file__).parent
TABLE = HERE.parent / "keras_lr" / "analysis" / "_diagnosis" / "scorecard_table.py"
FOLDS = 5
BISTABLE = "vae"
"""Tasks with this in their name are shown apart: two equal runs may end at two very different losses."""

OTHER_VERDICTS = ("not_the_rate", "unclear")


def judge(runs: pd.DataFrame, tables: Mapping[str, CardTable]) -> pd.DataFrame:
    """Complete runs with a verdict and the leader's share per state of knowledge; no share if a fact settled it."""
    judged = runs[runs["budget"] == 1].copy()
    for state in STATES:
        verdicts = judged[f"settled {state}"].astype(object)
        weighed = verdicts.isna().to_numpy()
        parts = shares(tables, judged[weighed], state)
        leaders = np.array(SCORED_VERDICTS, dtype=object)[parts.argmax(axis=1)]
        near = judged.loc[weighed, "near_default"] & ("rate" in STATES[state])
        least = [least_share(leader, near_default=close) for leader, close in zip(leaders, near, strict=True)]
        verdicts[weighed] = np.where(parts.max(axis=1) >= least, leaders, "unclear")
        judged[f"verdict {state}"] = verdicts
        judged.loc[weighed, f"leader {state}"] = leaders
        judged.loc[weighed, f"share {state}"] = parts.max(axis=1)
    return judged


def judge_unseen(runs: pd.DataFrame, also: pd.DataFrame) -> pd.DataFrame:
    """The verdicts on each task by scorecards fitted on other tasks, on `runs` and on `also`."""
    judged = []
    for _, held_out in GroupKFold(FOLDS).split(runs, groups=runs["task"]):
        tasks = set(runs.iloc[held_out]["task"])
        others = pd.concat([part[~part["task"].isin(tasks)] for part in (runs, also)], ignore_index=True)
        judged.append(judge(runs.iloc[held_out], fit(others)))
    return pd.concat(judged, ignore_index=True)


def summary(name: str, judged: pd.DataFrame) -> str:
    """One section of the result in Markdown: a row per state of knowledge, and all verdicts if everything is known."""
    lines = [
        f"## {name}",
        "",
        f"{len(judged)} runs of {judged['task'].nunique()} tasks.",
        "",
        "| known | balanced accuracy | opposite verdict | answered |",
        "|-|-|-|-|",
        *(f"| {state} | {_row(judged['label'], judged[f'verdict {state}'])} |" for state in STATES),
        "",
        f"| true \\ verdict, {list(STATES)[-1]} | " + " | ".join((*SCORED_VERDICTS, *OTHER_VERDICTS)) + " |",
        "|-|" + "-|" * (len(SCORED_VERDICTS) + len(OTHER_VERDICTS)),
    ]
    words = [*SCORED_VERDICTS, *OTHER_VERDICTS]
    counts = confusion_matrix(judged["label"], judged[f"verdict {list(STATES)[-1]}"], labels=words)
    lines += [f"| {label} | " + " | ".join(map(str, counts[words.index(label)])) + " |" for label in SCORED_VERDICTS]
    return "\n".join(lines) + "\n"


def _row(labels: pd.Series, verdicts: pd.Series) -> str:
    present = [label for label in SCORED_VERDICTS if (labels == label).any()]
    accuracy = recall_score(labels, verdicts, labels=present, average="macro", zero_division=0)
    opposite = (labels + ">" + verdicts).isin(["too_low>too_high", "too_high>too_low"]).mean()
    return f"{accuracy:.3f} | {opposite:.2%} | {verdicts.isin(SCORED_VERDICTS).mean():.0%}"


def calibration(name: str, judged: pd.DataFrame) -> str:
    """How often the leader of the scorecard is right, by decile of its share, in Markdown."""
    rows = []
    for state in STATES:
        weighed = judged[judged[f"share {state}"].notna()]
        deciles = (weighed[f"share {state}"] * 10).astype(int).clip(upper=9)
        right = (weighed[f"leader {state}"] == weighed["label"]).groupby(deciles).agg(["mean", "size"])
        cells = [f"{right['mean'][d]:.0%} of {right['size'][d]}" if d in right.index else "" for d in range(3, 10)]
        rows.append(f"| {state} | " + " | ".join(cells) + " |")
    heads = " | ".join(f"{10 * d}-{10 * d + 10}%" for d in range(3, 10))
    return "\n".join([f"## Right, by the share: {name}", "", f"| known | {heads} |", "|-|" + "-|" * 7, *rows]) + "\n"


def blame(records: Iterable[tuple[str, bool, str, str]]) -> str:
    """The verdicts on faulty programs in Markdown.

    Args:
        records: Each one's fault, whether the rate is it, the verdict with everything known, and that by the history.
    """
    found = list(records)
    counts = []
    for knowledge, place in (("With everything known", 2), ("By the history alone", 3)):
        innocent, guilty = ([row[place] in FACTORS for row in found if row[1] == which] for which in (False, True))
        counts.append(
            f"{knowledge}, the rate is blamed in {sum(innocent)} of {len(innocent)} programs whose fault is another, "
            f"and in {sum(guilty)} of {len(guilty)} whose fault it is."
        )
    lines = [
        "## Small programs with one fault each",
        "",
        *counts,
        "",
        "| fault | the rate | everything known | the history alone |",
        "|-|-|-|-|",
        *(f"| {fault} | {'yes' if guilty else 'no'} | {known} | {alone} |" for fault, guilty, known, alone in found),
    ]
    return "\n".join(lines) + "\n"


def write_table(tables: Mapping[str, CardTable]) -> None:
    """Writes the fitted scorecards as a Python module."""

    def rounded(values: Iterable[float]) -> str:
        return "(" + ", ".join(f"{value:.4g}" for value in values) + ",)"

    def block(rows: Iterable[Iterable[float]], indent: str) -> str:
        return "(\n" + "".join(f"{indent}    {rounded(row)},\n" for row in rows) + f"{indent})"

    def verdicts(points: Iterable[Iterable[Iterable[float]]]) -> str:
        return "(\n" + "".join(f"        {block(rows, ' ' * 8)},\n" for rows in points) + "    )"

    parts = {
        "KNOTS": {card: block(table.knots, "    ") for card, table in tables.items()},
        "POINTS": {card: verdicts(table.points) for card, table in tables.items()},
        "INTERCEPTS": {card: rounded(table.intercepts) for card, table in tables.items()},
    }
    text = '"""Knots and points of the scorecards, written by `python benchmarks/diagnosis.py --fit`."""\n\n'
    text += "# fmt: off\n"
    for name, cards in parts.items():
        text += f"{name} = {{\n" + "".join(f'    "{card}": {cards[card]},\n' for card in CARDS) + "}\n"
    TABLE.write_text(text + "# fmt: on\n")


def main() -> None:
    """Judges, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=Path, metavar="DIR", help="also judge the sweeps in this folder")
    parser.add_argument("--programs", action="store_true", help="also judge small programs with one fault each")
    parser.add_argument("--fit", action="store_true", help="also write the package's scorecards, fitted on all tasks")
    options = parser.parse_args()
    folders = (HERE / "data", SAMPLED)
    runs = pd.concat([load_runs(folder) for folder in folders], ignore_index=True)
    ends = pd.concat([load_runs(folder, END_BUDGETS, log="end") for folder in folders], ignore_index=True)
    judged = judge_unseen(runs, ends)
    corpus, drawn = judged["task"].isin(CORPUS), judged["task"].str.startswith(SAMPLED.name)
    sections = [
        f"# Verdicts on unseen tasks ({FOLDS} folds of tasks)\n",
        summary("The ten tasks of the corpus", judged[corpus]),
        summary("Further tasks", judged[~corpus & ~drawn]),
        summary("Tasks drawn at random", judged[drawn]),
        calibration("all tasks here", judged),
    ]
    tables = fit(pd.concat([runs, ends], ignore_index=True)) if options.fit else TABLES
    if options.sweeps is not None:
        others = judge(load_runs(options.sweeps, budgets=(1.0,)), tables)
        bistable = others["task"].str.contains(BISTABLE)
        sections.append(summary("Sweeps of others", others))
        if bistable.any():
            sections += [
                summary("Sweeps of others without the bistable ones", others[~bistable]),
                summary("Bistable sweeps of others", others[bistable]),
            ]
        sections.append(calibration("sweeps of others", others))
    if options.programs:
        from _diagnosis_programs import histories

        sections.append(
            blame(
                (one.fault, one.guilty, analyze_history(log, **known).verdict, analyze_history(log).verdict)
                for one, log, known in histories()
            )
        )
    text = "\n".join(sections)
    print(text)
    (HERE / "results" / "diagnosis.md").write_text(text)
    if options.fit:
        write_table(tables)


if __name__ == "__main__":
    main()
