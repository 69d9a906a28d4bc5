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
from _advice_table import lost_cells
from _race_methods import (
    Method,
    always,
    foresight,
    hyperband,
    optuna_search,
    oracle,
    race,
    race_from_refined,
    race_from_sweep,
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
    "race from the sweep's suggestion": race_from_sweep,
    "race from the refined suggestion": race_from_refined,
    "random search": random_search,
    "successive halving": successive_halving,
    "Hyperband": hyperband,
    "Optuna TPE, median pruner": optuna_search("median"),
    "Optuna TPE, halving pruner": optuna_search("halving"),
    "foresight of the race": foresight,
    "oracle of the race": oracle,
}
WITHOUT_BUDGET: dict[str, Method] = {
    "sweep alone": sweep_alone,
    "sweep, refined": refined,
    "always 1e-3": always(1e-3),
    "always 1e-4": always(1e-4),
    "always 5e-5": always(5e-5),
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
    "median lost",
    "lost at most 0.2",
    "mean cost",
    "largest",
    "clear",
    "wrong",
)
RESULT = Path(__file__).parent / "results" / "race.md"
INTRODUCTION = """# The best rate for the price of a training

Each task and seed is replayed on its own. A race starts where `RaceSearch` starts it: from what `find_lr` says about a
sweep of 100 steps, refined by as many steps of short runs for an adaptive optimizer or from budget 2 on. It sees the
curves of one seed; the truth is the median of all three. A model that was trained before is first compared after two
epochs. "From the sweep's suggestion" is the race without either, "from the refined suggestion" with short runs at every
budget.

- *Regret*: the share of the possible gain that the chosen rate loses.
- *Time lost*: the share of the best rate's epochs that it does not need to reach what the chosen rate reaches in all of
  its own. Even a perfect choice has 0.21 (corpus), 0.16 (further) and 0.15 (drawn), because in some tasks the best rate
  reaches its lowest loss before the last epoch.
- *Cost*: what was trained beyond the winner's own run, in complete trainings. The sweep is not counted.
- *Wrong*: the share of the clear answers whose regret is above 0.05.

Random search, successive halving and Hyperband draw from the 22 rates of the grid, and the mean of five draws is shown.
Optuna draws from the range of the grid, and the nearest rate of it is trained. "All rates" trains the whole grid to the
end with one seed: what the same curves can tell at any price. Two rows show the frontier of the race, among the rates
that it trained at all. "Foresight" knows how each of its own runs would have ended: no forecast of the curves can do
better, except by luck. "Oracle" knows the median of the three seeds. What lies between the two is the noise of a seed.

The form of the race and its constants were chosen on corpus and further tasks, also cut to half and to a quarter of
their epochs, and with suggestions moved by up to 1.3 decades. Nothing is fitted on the drawn ones.
"""
FAILED = """
## What did not help

Each was tried when the race was made or later, and is compared with the race of that time. Mean regret / share good /
time lost, on corpus and further tasks and the same cut to half and a quarter of their epochs. The race: .018 / .93 /
.173 at budget 1 and .011 / .96 / .149 at budget 2.

| instead | budget 1 | budget 2 |
|-|-|-|
| seven neighbouring rates from the start, however small the budget | .031 / .87 / .198 | .016 / .94 / .154 |
| five neighbouring rates, one below the suggestion and three above | .022 / .90 / .174 | .013 / .96 / .145 |
| ranked by a forecast: the fall since the last comparison once more | .024 / .90 / .202 | .019 / .93 / .174 |
| ranked by a forecast: half of that fall | .021 / .92 / .181 | .014 / .95 / .159 |
| ranked by the mean with neighbouring rates, less so later | .019 / .93 / .180 | .013 / .95 / .151 |
| ranked with the mean of the last half of the epochs | .019 / .93 / .176 | .011 / .96 / .147 |
| ranked with a penalty on high rates that fades | .020 / .92 / .174 | .012 / .96 / .149 |
| each rate that could not catch up at its pace is dropped at once | .019 / .92 / .179 | .014 / .95 / .158 |
| neighbours of the leader join from the first epoch on | .022 / .90 / .182 | .013 / .94 / .148 |
| equal numbers of epochs for each comparison | .028 / .89 / .200 | .014 / .95 / .158 |
| rates compared once, at the same length, each new one beside the best so far | .018 / .92 / .171 | .010 / .95 / .146 |
| one epoch at a time for the rate with the best forecast | .043 / .83 / .249 | .045 / .83 / .245 |

The mean over neighbouring rates does help if all 22 rates are trained for two epochs (further tasks .037 / .88 to
.016 / .95), but a race has too few neighbours left when it matters. Curves that stand still and then fall are
common, so forecasts rule out winners; the race only reports them.

Further ways, each set on its own. Corpus, further, and both cut; mean regret / share good / time lost:

| instead | set | budget 1 | budget 2 | budget 4 |
|-|-|-|-|-|
| the race | corpus | .006 / 1 / .271 | .005 / .97 / .240 | .006 / .93 / .247 |
| | further | .004 / .99 / .226 | .005 / .98 / .219 | .005 / .99 / .204 |
| | cut | .026 / .88 / .133 | .014 / .95 / .103 | .011 / .95 / .100 |
| ranked by a fitted power law | corpus | .009 / 1 / .277 | .007 / .97 / .287 | .007 / .93 / .270 |
| | further | .010 / .97 / .292 | .009 / .96 / .265 | .007 / .98 / .212 |
| | cut | .027 / .88 / .150 | .016 / .93 / .118 | .017 / .94 / .106 |
| by 0.3 of its fall | corpus | .006 / 1 / .273 | .006 / .97 / .247 | .007 / .93 / .260 |
| | further | .005 / .99 / .237 | .007 / .97 / .234 | .007 / .98 / .207 |
| | cut | .026 / .88 / .129 | .014 / .94 / .104 | .011 / .95 / .100 |
| first rates spread over the range of the sweep | corpus | .015 / .90 / .354 | .009 / .93 / .269 | .006 / .93 / .247 |
| | further | .012 / .95 / .245 | .007 / .97 / .233 | .005 / .99 / .208 |
| | cut | .041 / .81 / .176 | .017 / .90 / .123 | .014 / .93 / .115 |
| neighbouring rates if the sweep is clear | corpus | .006 / 1 / .296 | .005 / .97 / .238 | .006 / .93 / .247 |
| | further | .004 / .99 / .227 | .005 / .98 / .223 | .005 / .99 / .206 |
| | cut | .026 / .88 / .135 | .013 / .96 / .101 | .010 / .96 / .100 |
| dropped neighbours of the leader go on again | corpus | .006 / 1 / .271 | .003 / 1 / .240 | .005 / .97 / .248 |
| | further | .007 / .98 / .232 | .007 / .98 / .219 | .005 / .99 / .207 |
| | cut | .026 / .88 / .133 | .015 / .95 / .102 | .011 / .95 / .100 |
| rates in inverse proportion to the epochs | corpus | .008 / .97 / .280 | .005 / .97 / .237 | .005 / .97 / .248 |
| | further | .008 / .96 / .250 | .006 / .97 / .224 | .004 / .99 / .212 |
| | cut | .029 / .86 / .137 | .015 / .92 / .108 | .011 / .95 / .099 |
| ranked by a logistic model of pairs (below) | corpus | .019 / .87 / .343 | .014 / .90 / .290 | |
| | further | .014 / .96 / .245 | .006 / .98 / .224 | |
| | cut | .027 / .87 / .136 | .015 / .94 / .103 | |

Two runs at the same epoch: which one ends better? The lower one so far, in 77.2% of 16,902 pairs of the four best
rates, weighted by what a mistake costs. A logistic model of gap, pace, noise, rates and progress, fitted to other
tasks, is right in 77.1%. As far as such a model can tell, the
curves hold no more than their lowest values do.

The final choice by a smooth curve over the rates does not help either, even if all 22 rates are trained to the end.
Regret / share good / time lost of one seed:

| choice | corpus | further | drawn |
|-|-|-|-|
| lowest loss | .006 / .97 / .267 | .013 / .97 / .212 | .004 / .99 / .186 |
| mean with both neighbours, weights .15, .7, .15 | .009 / .93 / .297 | .005 / .99 / .213 | .004 / .99 / .182 |
| weights .25, .5, .25 | .012 / .90 / .315 | .006 / .99 / .216 | .005 / .98 / .198 |
| parabola through five rates | .015 / .87 / .342 | .009 / .98 / .247 | .006 / .98 / .215 |

Medians over the tasks of a set: a seed's standard deviation at the best rate is .6 to 1.0% of the gain, and the rates a
third of a decade off lose .8 to 2.4%. So a mean with them adds about as much as it saves.

The race of these tables dropped neighbours of the best rate for good. Now those that lost at most 5% of the gain pause:
corpus .007 / 1 / .280 at budget 1, .004 / 1 / .240 at 2, .005 / .97 / .247 at 4. That was chosen on corpus, further and
cut tasks, of which none got worse. With 10% or 20%, or when two rates are left at most, whatever they lost, the drawn
tasks stay between .010 and .012 at budget 2. A third of what is lost there comes from two of the 156 races, in which
the rate's own run ends well with one seed and badly with the others, or the first steps mislead.

What is left on the drawn tasks: the race loses .247 of the time at budget 1, .216 at 2 and .189 at 4, foresight .217,
.203 and .185.

## Where it starts and when it first compares

A race from the sweep's suggestion alone, compared after the first epoch, loses 6.0% on the fine-tuning tasks at budget
1. Two things mislead it: its rates are too high, and in the first epoch a good rate makes a trained model worse than it
was, which the second epoch repairs. Regret / share good / time lost, at budgets 1 and 2:

| start | fine-tuning, 1 | drawn, 1 | fine-tuning, 2 | drawn, 2 |
|-|-|-|-|-|
| sweep | .060 / .72 / .203 | .014 / .92 / .246 | .026 / .84 / .141 | .011 / .94 / .224 |
| refined | .041 / .80 / .126 | .021 / .90 / .244 | .019 / .92 / .093 | .009 / .95 / .216 |
| middle of both | .033 / .80 / .129 | .018 / .90 / .244 | .019 / .92 / .093 | .010 / .94 / .221 |
| both, then neighbours of refined | .031 / .80 / .113 | .021 / .90 / .248 | .019 / .92 / .093 | .009 / .95 / .220 |
| (a) refined if adaptive, else sweep | .041 / .80 / .126 | .014 / .92 / .247 | .019 / .92 / .093 | .011 / .94 / .224 |
| sweep, lower rates first | .061 / .68 / .207 | .016 / .90 / .258 | .029 / .84 / .093 | .014 / .93 / .231 |
| sweep, ties if worse than untrained | .031 / .84 / .163 | .014 / .92 / .247 | .025 / .88 / .101 | .014 / .92 / .230 |
| (a), none drops if one is worse so | .027 / .84 / .143 | .014 / .92 / .248 | .014 / .88 / .101 | .011 / .95 / .224 |
| (a), 2 epochs first if at most 10 | .026 / .84 / .123 | .015 / .92 / .252 | .014 / .88 / .101 | .011 / .94 / .228 |
| (a), 2 epochs if trained before | .026 / .84 / .130 | .014 / .92 / .247 | .014 / .88 / .101 | .011 / .94 / .224 |
| (a), 3 epochs so | .022 / .84 / .130 | .014 / .92 / .247 | .013 / .92 / .097 | .011 / .94 / .224 |

"Worse than untrained": values above those of the untrained model or the best constant output are equal, and lower
rates come first; or no rate leaves after the first epoch if one of them is above the untrained value. The last but one
is built, with the refined suggestion for all optimizers from budget 2 on. Nine tasks cannot tell whether 2 or 3 epochs
are better.

All were judged on these fine-tuning tasks. If for each of them the one of sixteen rules is chosen that is best on the
others, among those no worse than noise on corpus, further, drawn, and wide and deep tasks, the fine-tuning tasks lose
.029 / .80 / .130 at budget 1 and .021 / .84 / .101 at budget 2.

The refined suggestion of an optimizer that is not adaptive costs the drawn tasks .007 at budget 1, nearly all of it in
two of the 156 races. Cut to 4, 6 and 8 epochs they gain by it: .048 to .041, .044 to .039, .031 to .033.

## Sweeps of others

Twelve sweeps of DeepOBS (`python benchmarks/race.py --sweeps DIR`), 36 rates, 50 or 100 epochs, one seed and no range
test, so that the race starts from rates spread over the grid. Regret / share good / time lost:

| method | budget 0.5 | budget 1 | budget 2 | budget 4 |
|-|-|-|-|-|
| race | .015 / .92 / .528 | .015 / .92 / .472 | .013 / .92 / .472 | .001 / 1 / .363 |
| foresight of the race | .000 / 1 / .366 | .002 / 1 / .302 | .000 / 1 / .373 | .001 / 1 / .363 |
| successive halving | .015 / .92 / .529 | .014 / .92 / .500 | .014 / .92 / .443 | .000 / 1 / .361 |
| Hyperband | .016 / .92 / .612 | .016 / .92 / .560 | .017 / .92 / .462 | .004 / .98 / .411 |
| random search | .241 / .62 / .736 | .143 / .68 / .707 | .047 / .82 / .621 | .028 / .88 / .468 |
| Optuna TPE, median pruner | .036 / .83 / .532 | .055 / .67 / .660 | .047 / .83 / .700 | .002 / 1 / .477 |
| Optuna TPE, halving pruner | .036 / .83 / .532 | .055 / .67 / .660 | .036 / .92 / .692 | .004 / 1 / .552 |

Without a range test the race is no better than successive halving at the same cost.

## Few epochs

The tasks cut to their first epochs, regret / share good on the drawn ones:

| epochs | sweep alone | budget 0.5 | budget 1 | budget 2 | budget 4 |
|-|-|-|-|-|-|
| 1 | .147 / .49 | .141 / .53 | .081 / .65 | .074 / .71 | .040 / .86 |
| 2 | .102 / .63 | .063 / .74 | .057 / .78 | .046 / .78 | .022 / .88 |
| 3 | .087 / .67 | .058 / .80 | .053 / .85 | .035 / .86 | .016 / .93 |

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
    cells = [part["regret"].mean(), part["good"].mean(), part["regret"].quantile(0.9), *lost_cells(part)]
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
    text += "" if options.sweeps else FAILED
    print(text)
    if not options.sweeps:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
