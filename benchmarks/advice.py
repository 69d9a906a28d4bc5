"""How much a suggestion costs: regret against what every learning rate really leads to.

`python benchmarks/advice.py` prints the tables and writes `benchmarks/results/advice.md`; it needs no TensorFlow.
`python benchmarks/advice.py --train TASK` makes the ground truth of a task anew with Keras (minutes; `--list` names the
tasks, `_advice_tasks.py` defines them).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _advice_rules import PUBLIC
from _advice_score import DATA, GOOD_REGRET, Truth, curves, tasks

from keras_lr.analysis.suggestion import suggest
from keras_lr.records.suggestion import Suggestion

RESULT = Path(__file__).parent / "results" / "advice.md"
CORPUS = (
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
)


def score(names: list[str]) -> pd.DataFrame:
    """One row a (task, num_steps, seed, rule): regret, whether good, overlap and confidence."""
    rows = []
    for name in names:
        truth = Truth.load(name)
        for (steps, seed), (rates, losses) in curves(name).items():
            finite = np.isfinite(losses)
            where = {"task": name, "num_steps": steps, "seed": seed}
            rows.append(where | {"rule": "keras_lr"} | _judge(truth, suggest(rates, losses)))
            for rule, read in PUBLIC.items():
                rate = read(rates[finite], losses[finite])
                rows.append(where | {"rule": rule, "regret": _regret(truth, rate), "good": _is_good(truth, rate)})
    return pd.DataFrame(rows)


def _judge(truth: Truth, advice: Suggestion) -> dict[str, object]:
    rate = advice.learning_rate
    overlap = 0.0 if rate is None else truth.overlap(advice.low, advice.high)
    return {
        "regret": _regret(truth, rate),
        "good": _is_good(truth, rate),
        "overlap": overlap,
        "confidence": advice.confidence,
    }


def _regret(truth: Truth, rate: float | None) -> float:
    """A refusal costs as much as not training."""
    return 1.0 if rate is None else float(truth.regret(rate))


def _is_good(truth: Truth, rate: float | None) -> bool:
    return rate is not None and truth.is_good(rate)


def table(scores: pd.DataFrame) -> str:
    """Rules by rows, in Markdown; the best mean regret first."""
    lines = [
        "| rule | steps | mean regret | median | 90th percentile | share good | overlap | clear | clear but wrong |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    for steps, part in scores.groupby("num_steps"):
        order = part.groupby("rule")["regret"].mean().sort_values()
        lines += [_line(rule, steps, part[part["rule"] == rule]) for rule in order.index]
    return "\n".join(lines) + "\n"


def _line(rule: str, steps: int, part: pd.DataFrame) -> str:
    regret = part["regret"]
    cells = [regret.mean(), regret.median(), regret.quantile(0.9), part["good"].mean()]
    numbers = [f"{value:.3f}" for value in cells]
    clear = part[part["confidence"] == "clear"]
    if part["confidence"].isna().all():
        numbers += ["", "", ""]
    else:
        wrong = (clear["regret"] > GOOD_REGRET).mean() if len(clear) else 0.0
        numbers += [f"{part['overlap'].mean():.3f}", f"{len(clear) / len(part):.2f}", f"{wrong:.3f}"]
    return f"| {rule} | {steps} | " + " | ".join(numbers) + " |"


def report(names: list[str]) -> str:
    """The whole result in Markdown."""
    scores = score(names)
    corpus = scores["task"].isin(CORPUS)
    text = "# Regret of a suggested learning rate\n\nEvery seed's curve alone; a refusal counts as regret 1.\n"
    for title, part in (("The ten tasks of the corpus", scores[corpus]), ("The further tasks", scores[~corpus])):
        if len(part):
            text += f"\n## {title} ({part['task'].nunique()})\n\n{table(part)}"
    return text


def train(name: str, folder: Path) -> None:
    """Makes a task's ground truth anew."""
    from _advice_tasks import TASKS
    from _advice_train import make

    if name not in TASKS:
        raise SystemExit(f"Unknown task {name!r}. Known: {', '.join(sorted(TASKS))}.")
    make(name, TASKS[name], folder)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", metavar="TASK", action="append", help="make the ground truth of TASK anew and stop")
    parser.add_argument("--list", action="store_true", help="name the tasks that have data and stop")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the ground truth (default: %(default)s)")
    options = parser.parse_args()
    if options.train:
        for name in options.train:
            train(name, options.data)
    elif options.list:
        print("\n".join(tasks()))
    else:
        text = report(tasks())
        print(text)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
