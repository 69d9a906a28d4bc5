"""What a race finds for its budget, replayed on stored sweeps, beside other ways to spend as much.

`python benchmarks/race.py` replays every stored task with each of its seeds, prints the tables and writes
`benchmarks/results/race.md`; it needs no TensorFlow, but Optuna (`pip install -e .[benchmarks]`). `--sweeps DIR`
replays the files `TASK.grid.csv.gz` of a folder instead and only prints; they have the columns of `benchmarks/data`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from _race_methods import (
    Method,
    hyperband,
    optuna_search,
    oracle,
    race,
    random_search,
    refined,
    six_rates,
    six_rates_three_repeats,
    successive_halving,
    sweep_alone,
    whole_grid,
)
from _race_tasks import Replay, read_folder, read_sets

BUDGETS = (0.5, 1.0, 2.0, 4.0)
DRAWS = 5
"""Repetitions of the methods that draw random rates."""

AT_BUDGET: dict[str, Method] = {
    "race": race,
    "random search": random_search,
    "successive halving": successive_halving,
    "Hyperband": hyperband,
    "Optuna TPE, median pruner": optuna_search("median"),
    "Optuna TPE, halving pruner": optuna_search("halving"),
    "oracle of the race": oracle,
}
WITHOUT_BUDGET: dict[str, Method] = {
    "sweep alone": sweep_alone,
    "sweep, refined": refined,
    "6 rates, 1 repeat": six_rates,
    "6 rates, 3 repeats": six_rates_three_repeats,
    "all rates, 1 repeat": whole_grid,
}
DRAWN_METHODS = ("random search", "successive halving", "Hyperband")
COLUMNS = (
    "method",
    "budget",
    "mean regret",
    "at most 0.05",
    "90th percentile",
    "time lost",
    "lost at most 0.2",
    "mean cost",
    "largest",
    "clear",
    "wrong",
)
RESULT = Path(__file__).parent / "results" / "race.md"
INTRODUCTION = """# The best rate for the price of a training

Every task and seed stands alone. A race starts from what `suggest` says about a sweep of 100 steps with the optimizer
known, and sees one seed's curves; it is judged by all three. "Cost" is what was trained beyond the winner's own run, in
complete trainings; the sweep is not counted. "Regret" is the share of the possible gain that the chosen rate loses.
"Time lost" is the share of the best rate's epochs that it does not need to reach what the chosen rate reaches in all of
its epochs. "Wrong" is the share of the clear answers whose regret is above 0.05. Of several methods that draw random
rates, the mean of five draws is shown; all of them choose from the grid's 22 rates, Optuna between them.
"All rates" trains the grid to the end with one seed: what the same curves can tell at any price. "Oracle of the race"
knows the outcome of every rate and takes the best of those that the race trained at all: what is lost beyond that is
lost by dropping, and the rest by not trying. Even a perfect choice has time lost of 0.21 (corpus), 0.16 (further) and
0.15 (drawn), since the best rate reaches its lowest loss before the last epoch in some tasks.
The form of the race and its constants were chosen on corpus and further tasks, also cut to half and a quarter of their
epochs, and started up to four rates off; nothing is fitted on the drawn ones.
"""


def scores(replays: list[Replay]) -> pd.DataFrame:
    """One row per method, budget, replay and draw."""
    rows = []
    for replay in replays:
        if replay.sweep is not None:
            rows += [_row(name, method, replay, None) for name, method in WITHOUT_BUDGET.items()]
        else:
            rows.append(_row("all rates, 1 repeat", whole_grid, replay, None))
        for name, method in AT_BUDGET.items():
            draws = DRAWS if name in DRAWN_METHODS else 1
            rows += [_row(name, method, replay, budget, draw) for budget in BUDGETS for draw in range(draws)]
    return pd.DataFrame(rows)


def _row(name: str, method: Method, replay: Replay, budget: float | None, draw: int = 0) -> dict[str, object]:
    seed = crc32(f"{replay.task} {replay.seed} {budget} {draw}".encode())
    choice = method(replay, budget or 0.0, np.random.default_rng(seed))
    found = {"method": name, "budget": budget, "cost": choice.cost, "confidence": choice.confidence}
    return found | replay.judge(choice.rate)


def table(frame: pd.DataFrame) -> str:
    """The race at every budget first, then the others budget by budget."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|-" * len(COLUMNS) + "|"]
    plain = frame[frame["budget"].isna()]
    lines += [_line(name, "", plain[plain["method"] == name]) for name in plain["method"].unique()]
    for budget in BUDGETS:
        part = frame[frame["budget"] == budget]
        lines += [_line(name, f"{budget:g}", part[part["method"] == name]) for name in AT_BUDGET]
    return "\n".join(lines) + "\n"


def _line(name: str, budget: str, part: pd.DataFrame) -> str:
    lost = part["lost"]
    cells = [
        part["regret"].mean(),
        part["good"].mean(),
        part["regret"].quantile(0.9),
        lost.mean(),
        (lost <= 0.2).mean(),
    ]
    numbers = [f"{value:.3f}" for value in cells] + [f"{part['cost'].mean():.2f}", f"{part['cost'].max():.2f}"]
    clear = part[part["confidence"] == "clear"]
    sure = [f"{len(clear) / len(part):.2f}", f"{1 - clear['good'].mean() if len(clear) else 0:.3f}"]
    numbers += ["", ""] if part["confidence"].isna().all() else sure
    return f"| {name} | {budget} | " + " | ".join(numbers) + " |"


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", metavar="DIR", type=Path, help="replay the files TASK.grid.csv.gz in this folder")
    options = parser.parse_args()
    sets = {options.sweeps.name: read_folder(options.sweeps)} if options.sweeps else read_sets()
    text = INTRODUCTION
    for title, replays in sets.items():
        text += f"\n## {title.capitalize()} ({len({one.task for one in replays})} tasks)\n\n{table(scores(replays))}"
    print(text)
    if not options.sweeps:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
