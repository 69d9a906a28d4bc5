"""Scores of advice as a Markdown table."""

from __future__ import annotations

import pandas as pd
from _advice_score import GOOD_REGRET, GOOD_TIME_LOST

COLUMNS = (
    "rule",
    "steps",
    "mean regret",
    "median",
    "90th percentile",
    "fraction good",
    "at most 0.05",
    "time lost",
    "median lost",
    "lost at most 0.2",
    "overlap",
    "clear",
    "wrong",
)


def table(scores: pd.DataFrame) -> str:
    """One row per rule, the lowest mean regret first."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|-" * len(COLUMNS) + "|"]
    for steps, part in scores.groupby("num_steps"):
        order = part.groupby("rule")["regret"].mean().sort_values()
        lines += [_line(rule, steps, part[part["rule"] == rule]) for rule in order.index]
    return "\n".join(lines) + "\n"


def grid_table(scores: dict[str, pd.DataFrame], lengths: dict[str, int]) -> str:
    """Mean regret and fraction good: one row per length of training, two columns per set of tasks."""
    heads = ["epochs at each of the 22 rates", *(f"{name}, {what}" for name in scores for what in ("regret", "good"))]
    lines = [f"| {' | '.join(heads)} |", "|-" * len(heads) + "|"]
    for length, epochs in lengths.items():
        parts = [part[part["epochs"] == epochs] for part in scores.values()]
        cells = [f"{part[column].mean():.3f}" for part in parts for column in ("regret", "good")]
        lines.append(f"| {length} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def lost_cells(scores: pd.DataFrame) -> list[float]:
    """Mean and median of the time lost, and the share that loses at most a fifth."""
    lost = scores["lost"]
    return [float(lost.mean()), float(lost.median()), float((lost <= GOOD_TIME_LOST).mean())]


def _line(rule: str, steps: int, part: pd.DataFrame) -> str:
    regret = part["regret"]
    cells = [regret.mean(), regret.median(), regret.quantile(0.9)]
    cells += [part["good"].mean(), (regret <= GOOD_REGRET).mean(), *lost_cells(part)]
    numbers = [f"{value:.3f}" for value in cells]
    clear = part[part["confidence"] == "clear"]
    if part["confidence"].isna().all():
        numbers += ["", "", ""]
    else:
        wrong = (clear["regret"] > GOOD_REGRET).mean() if len(clear) else 0.0
        numbers += [f"{part['overlap'].mean():.3f}", f"{len(clear) / len(part):.2f}", f"{wrong:.3f}"]
    return f"| {rule} | {steps} | " + " | ".join(numbers) + " |"
