"""The regret of suggested learning rates, judged by full trainings at every rate.

`python benchmarks/advice.py` judges each task with constants fitted on all other tasks, prints the tables and writes
`benchmarks/results/advice.md`, without TensorFlow. `--fit` prints the constants fitted on all tasks, for
`keras_lr/analysis/_suggestion/calibration.py`. `--train TASK` recomputes the ground truth of a task with Keras, which
takes minutes; `--train hard` and `--train tune` do so for all of `_advice_hard.py` and `_advice_tune.py`, and
`--train sampled-NUMBER` draws a random task. `--list` lists the tasks, most of which `_advice_tasks.py` defines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from _advice_cases import CONSTANT_LOSSES, optimizer_of, read_cases
from _advice_constant import best_constants, optimizer_name, where_constant_is_good
from _advice_fit import fit
from _advice_judge import FRESH, judge_constants, judge_grids, judge_ours, judge_public, judge_with
from _advice_score import CORPUS, DATA, FOLDERS, HARD, SAMPLED, TUNE, Truth, tasks
from _advice_table import grid_table, table
from _advice_tried import TRIED

from keras_lr.analysis._suggestion.calibration import CALIBRATION

LOW = 3e-4
"""A best rate for an adaptive optimizer up to this is called low."""

FIXED = (1e-3, 1e-4, 5e-5)
"""Rates that are often recommended for fine-tuning."""

RANGES = (
    "optimizer",
    "tasks",
    "lowest best rate",
    "highest best rate",
    "lowest good",
    "lowest upper end",
    "highest good",
    "constant of the others",
)
TUNED = """A race, which trains a few rates around the suggestion, starts from the refined one for an adaptive optimizer
and first compares a model that was trained before after two epochs: in the first, a good rate makes it worse than it
was, and in the second repairs that. What it loses on these tasks is in `race.md`.

"""
NOTES = {"Fine-tuning": TUNED}
"""What stands above the table of a section."""

GRID_EPOCHS = {"1": 1, "2": 2, "4": 4, "8": 8, "all": 1000}
GRID = """
## For comparison: training at every rate

One seed trains all 22 rates of the grid from the same initial weights and chooses the rate with the lowest validation
loss. A sweep of 300 steps is at most seven epochs of the digits tasks.

"""
RESULT = Path(__file__).parent / "results" / "advice.md"
INTRODUCTION = """# Regret of a suggested learning rate

*Time lost* is the share of the best rate's training that it would not have needed to reach what the suggested rate
reaches in full: 0 is as good as the best. *Regret* is the fraction of the possible gain that a suggestion loses. A
refusal counts as 1 in both. The curve of each seed is judged on its own, with constants fitted on all other tasks, or
on the other nine of the corpus for "keras_lr (nine tasks)". "keras_lr" reads the curve alone, as `suggest` does.
"Optimizer known" is the suggestion of `find_lr`, which also knows the loss of the best constant output. "Refined" adds
short runs at constant rates with as many steps as the sweep. "3 repeats" reads the curves of three seeds together.

*The best constant of the others* measures nothing: it is the rate with the lowest mean regret on all other tasks of
the same optimizer, or of the optimizers that are as adaptive if fewer than five others have it. On most small models
it is hard to beat. The first two tables say what measuring gains where it fails and what it costs where it is good.

"Fraction good" counts suggestions between the lowest and the highest rate of the grid with a regret of at most 0.05. In
one task of the corpus (synthseq-gru-adam) only a single rate is good in that sense, which only chance could hit, so 0.9
is the maximum there. "At most 0.05" counts by the interpolated regret itself. "Wrong" is the fraction of the clear
suggestions with a regret above 0.05.

The tasks drawn at random (`_advice_sampled.py`) are those that can be learned. Many of them start slowly, which a short
sweep hardly shows. The form of the rule was chosen before their second half was drawn. That a clear suggestion needs
the loss to fall by half was chosen on all tasks, and so was how far the usual rate of an adaptive optimizer may move a
suggestion: no table is free of that choice. The wide, deep, generative and unscaled tasks (`_advice_hard.py`) and
the fine-tuning tasks (`_advice_tune.py`) have one seed, few of them two, so the truth is that of the seed that was
swept, and what looks best there is partly chance.

Ten fine-tuning tasks were chosen for their low best rates, and no constant is fitted on them. Four rules were
chosen with them in sight: short runs may lower the rate of an adaptive optimizer; short runs whose fall is within noise
count if they differ on the same batches; where no fall was seen, the step at which an adaptive optimizer breaks away
gives a higher rate; and a coarse sweep is not clear about a rate far below the usual one. An eleventh task was dropped
after its scores were seen, because its truth was a chance of its one seed: all rates from 5e-5 up broke the model, and
one of them happened to train it again. With it, refined lost 10% at 100 steps and 6% at 300 on the fine-tuning tasks.
"""


def report() -> str:
    """All tables in Markdown."""
    names, sampled, added = tasks(), tasks(SAMPLED), tasks(HARD) + tasks(TUNE)
    cases = read_cases([*names, *added])
    fresh = [case for case in cases if case.task in FRESH]
    constants = best_constants(everything())
    scores = [judge_ours(cases), judge_ours(cases, pool=CORPUS, name="keras_lr (nine tasks)")]
    scores += [judge_public(everything()), judge_with(CALIBRATION, fresh + read_cases(sampled), constants=True)]
    scores += [judge_constants(constants, "best constant of the others")]
    scores += [judge_constants(dict.fromkeys(tasks(TUNE), rate), f"always {rate:g}") for rate in FIXED]
    text, easy = INTRODUCTION, where_constant_is_good(constants)
    for title, part in _sections(pd.concat(scores, ignore_index=True), easy):
        if len(part):
            text += f"\n## {title} ({part['task'].nunique()})\n\n{NOTES.get(title, '')}{table(part)}"
    sets = {"corpus": CORPUS, "further and fresh": sorted(set(names) - set(CORPUS)), "drawn": sampled}
    sets |= {"hard": tasks(HARD), "fine-tuning": tasks(TUNE)}
    sets |= {"constant fails": sorted(set(everything()) - easy), "constant is good": sorted(easy)}
    grids = {title: judge_grids(list(part), tuple(GRID_EPOCHS.values())) for title, part in sets.items()}
    return text + GRID + grid_table(grids, GRID_EPOCHS) + TRIED + _constants_table(constants)


def _sections(scores: pd.DataFrame, easy: set[str]) -> list[tuple[str, pd.DataFrame]]:
    """Parts of the scores, each with its title; `easy` names the tasks on which the best constant is good."""
    kind = scores["task"].str.split("-").str[0]
    corpus, fresh, folders = scores["task"].isin(CORPUS), scores["task"].isin(FRESH), kind.isin(FOLDERS)
    shared = scores[~scores["rule"].str.contains("nine tasks|always")]
    constant_good = shared["task"].isin(easy)
    return [
        ("All tasks on which the best constant is not good", shared[~constant_good]),
        ("All tasks on which the best constant is good", shared[constant_good]),
        ("The ten tasks of the corpus", scores[corpus]),
        ("Further tasks", scores[~corpus & ~fresh & ~folders]),
        ("Fresh tasks, on which nothing is fitted, with the shipped constants", scores[fresh & ~folders]),
        (
            "Tasks drawn at random, on which nothing is fitted, with the shipped constants",
            scores[kind == SAMPLED.name],
        ),
        ("Wide, deep, generative and unscaled tasks", scores[kind == HARD.name]),
        ("Fine-tuning", scores[kind == TUNE.name]),
        (
            f"Fine-tuning whose best rate is at most {LOW:.0e}, on which nothing is fitted, with the shipped constants",
            scores[scores["task"].isin(low_tasks())],
        ),
    ]


def low_tasks() -> list[str]:
    """The fine-tuning tasks whose best rate for an adaptive optimizer is low."""
    tuned = [name for name in tasks(TUNE) if optimizer_of(name).adaptive]
    return [name for name in tuned if best_rate(name) <= LOW]


def best_rate(name: str) -> float:
    """The rate of the grid with the lowest validation loss."""
    truth = Truth.load(name)
    return float(10 ** truth.decades[truth.scores.argmin()])


def _constants_table(constants: dict[str, float]) -> str:
    """How far the good ranges of the tasks lie apart, by optimizer, and the constants."""
    lines = ["", "## Where the good rates lie", "", f"| {' | '.join(RANGES)} |", "|-" * len(RANGES) + "|"]
    for optimizer in sorted({optimizer_name(name) for name in constants}):
        alike = [name for name in constants if optimizer_name(name) == optimizer]
        truths = [Truth.load(name) for name in alike]
        best = sorted(best_rate(name) for name in alike)
        ends = min(10 ** truth.good[0] for truth in truths), min(10 ** truth.good[1] for truth in truths)
        cells = [best[0], best[-1], *ends, max(10 ** truth.good[1] for truth in truths)]
        chosen = ", ".join(f"{rate:.2g}" for rate in sorted({constants[name] for name in alike}))
        lines.append(f"| {optimizer} | {len(alike)} | {' | '.join(f'{cell:.2g}' for cell in cells)} | {chosen} |")
    return "\n".join(lines) + "\n"


def everything() -> list[str]:
    """All tasks that have data."""
    return [*tasks(), *tasks(SAMPLED), *tasks(HARD), *tasks(TUNE)]


def fitted() -> list[str]:
    """The tasks to which the shipped constants are fitted."""
    return sorted({*tasks(), *tasks(HARD), *tasks(TUNE)} - set(FRESH))


def train(name: str, folder: Path) -> None:
    """Recomputes a task's ground truth."""
    from _advice_hard import HARD_TASKS
    from _advice_tasks import TASKS
    from _advice_train import make
    from _advice_tune import TUNE_TASKS

    if name.startswith("sampled-"):
        from _advice_sampled import draw

        make(*draw(int(name.split("-")[1])), folder)
        return
    known = TASKS | HARD_TASKS | TUNE_TASKS
    groups = {HARD.name: HARD_TASKS, TUNE.name: TUNE_TASKS}
    if name in groups:
        for one, task in groups[name].items():
            make(one, task, folder)
        return
    if name not in known:
        raise SystemExit(f"Unknown task {name!r}. Known: {', '.join(sorted(known))}.")
    make(name, known[name], folder)


def write_constant_losses() -> None:
    """Writes the loss of the best constant output of every task that has data."""
    from _advice_hard import HARD_TASKS
    from _advice_sampled import draw
    from _advice_tasks import TASKS
    from _advice_tune import TUNE_TASKS

    from keras_lr._keras.constant_output import constant_output_loss

    known = TASKS | HARD_TASKS | TUNE_TASKS | dict(draw(int(name.split("-")[1])) for name in tasks(SAMPLED))
    losses = {name: constant_output_loss(known[name].loss, known[name].data()[1]) for name in everything()}
    pd.Series(losses, name="loss").rename_axis("task").to_csv(CONSTANT_LOSSES, float_format="%.6g")


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", metavar="TASK", action="append", help="recompute the ground truth of TASK and exit")
    parser.add_argument("--fit", action="store_true", help="print the constants fitted on all tasks and exit")
    parser.add_argument("--constants", action="store_true", help="recompute the losses of constant outputs and exit")
    parser.add_argument("--list", action="store_true", help="list the tasks that have data and exit")
    parser.add_argument("--data", type=Path, default=DATA, help="directory of the ground truth (%(default)s)")
    options = parser.parse_args()
    if options.train:
        for name in options.train:
            train(name, options.data)
    elif options.fit:
        print(fit(read_cases(fitted()), CALIBRATION))
    elif options.constants:
        write_constant_losses()
    elif options.list:
        print("\n".join(everything()))
    else:
        text = report()
        print(text)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
