"""How much a suggestion costs: regret against what every learning rate really leads to.

`python benchmarks/advice.py` judges each task with constants fitted on all other tasks, prints the tables and writes
`benchmarks/results/advice.md`; it needs no TensorFlow. `--fit` prints the constants fitted on every task, which
`keras_lr/analysis/_suggestion/calibration.py` holds. `--train TASK` recomputes the ground truth of a task with Keras
(minutes; `--list` names the tasks, `_advice_tasks.py` defines them); `--train sampled-NUMBER` draws one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from _advice_cases import read_cases
from _advice_fit import fit
from _advice_judge import FRESH, judge_grids, judge_ours, judge_public, judge_with
from _advice_score import CORPUS, DATA, SAMPLED, tasks
from _advice_table import grid_table, table

from keras_lr.analysis._suggestion.calibration import CALIBRATION

GRID_EPOCHS = {"1": 1, "2": 2, "4": 4, "8": 8, "all": 1000}
GRID = """
## What training at every rate would tell

One seed trains all 22 rates of the grid, from the same start, and takes the rate of least validation loss. A sweep of
300 steps is seven epochs of the digits tasks at most.

"""
RESULT = Path(__file__).parent / "results" / "advice.md"
INTRODUCTION = """# Regret of a suggested learning rate

Every seed's curve alone; a refusal counts as regret 1. Each task is judged with constants fitted on all others, or,
in "keras_lr (nine tasks)", on the other nine of the corpus alone. "keras_lr" reads the curve alone, as `suggest` does;
"optimizer known" is what `find_lr` says; "refined" adds short runs at constant rates to that, with as many steps as the
sweep had; "3 repeats" reads the curves of three seeds together. "Share good" counts suggestions
between the lowest and the highest rate of the grid whose regret is at most 0.05. In one task of the corpus
(synthseq-gru-adam) a single rate is good in that sense, which only chance could hit: 0.9 is the most there. "At most
0.05" counts by the regret itself, interpolated. "Wrong" is the share of the clear suggestions whose regret is above
0.05. The last table is of tasks drawn at random (`_advice_sampled.py`), without those that cannot be learned; many are
slow to start, which a short sweep hardly shows. The form of the rule was chosen before the later half of them was made;
that a clear suggestion needs a fall by half of the loss was chosen on all tasks.
"""


def report(names: list[str]) -> str:
    """The whole result in Markdown."""
    cases, sampled = read_cases(names), tasks(SAMPLED)
    fresh = [case for case in cases if case.task in FRESH]
    scores = [judge_ours(cases), judge_ours(cases, pool=CORPUS, name="keras_lr (nine tasks)")]
    scores += [judge_public([*names, *sampled]), judge_with(CALIBRATION, fresh + read_cases(sampled))]
    text = INTRODUCTION
    for title, part in _sections(pd.concat(scores, ignore_index=True)):
        if len(part):
            text += f"\n## {title} ({part['task'].nunique()})\n\n{table(part)}"
    sets = {"corpus": CORPUS, "further and fresh": sorted(set(names) - set(CORPUS)), "drawn": sampled}
    grids = {title: judge_grids(list(part), tuple(GRID_EPOCHS.values())) for title, part in sets.items()}
    return text + GRID + grid_table(grids, GRID_EPOCHS)


def _sections(scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    corpus, fresh = scores["task"].isin(CORPUS), scores["task"].isin(FRESH)
    sampled = scores["task"].str.startswith("sampled-")
    return [
        ("The ten tasks of the corpus", scores[corpus]),
        ("The further tasks", scores[~corpus & ~fresh & ~sampled]),
        ("Fresh tasks, on which nothing is fitted, with the shipped constants", scores[fresh]),
        ("Tasks drawn at random, on which nothing is fitted, with the shipped constants", scores[sampled]),
    ]


def train(name: str, folder: Path) -> None:
    """Makes a task's ground truth anew."""
    from _advice_tasks import TASKS
    from _advice_train import make

    if name.startswith("sampled-"):
        from _advice_sampled import draw

        make(*draw(int(name.split("-")[1])), folder)
        return
    if name not in TASKS:
        raise SystemExit(f"Unknown task {name!r}. Known: {', '.join(sorted(TASKS))}.")
    make(name, TASKS[name], folder)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", metavar="TASK", action="append", help="make the ground truth of TASK anew and stop")
    parser.add_argument("--fit", action="store_true", help="print the constants fitted on every task and stop")
    parser.add_argument("--list", action="store_true", help="name the tasks that have data and stop")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the ground truth (default: %(default)s)")
    options = parser.parse_args()
    if options.train:
        for name in options.train:
            train(name, options.data)
    elif options.fit:
        print(fit(read_cases(sorted(set(tasks()) - set(FRESH))), CALIBRATION))
    elif options.list:
        print("\n".join(tasks() + tasks(SAMPLED)))
    else:
        text = report(tasks())
        print(text)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
