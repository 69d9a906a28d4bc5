"""How often what is planted in a loss is found where it is, and how often something is found in none.

`python benchmarks/findings.py [--draws N] [--false-alarm-draws N]` prints the table and writes
`benchmarks/results/findings.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _findings_plants import PLANTS, Plant, oracle, pure_decay

from keras_lr.analysis.findings.collect import find_all
from keras_lr.analysis.history import read_history

EPOCHS = ((10, 20), (20, 50), (50, 200), (200, 2000))
RATIOS = ((3, 5), (5, 10), (10, 30), (30, 250))
ALARMS = ("oscillation", "divergence", "early_plateau", "overfitting")
OUT = Path(__file__).parent / "results" / "findings.md"

Planter = Callable[[int, float, np.random.Generator], Plant]


def cell(planter: Planter, epochs: tuple[int, int], ratios: tuple[int, int], draws: int) -> tuple[float, float, float]:
    """Shares of draws in which the kind is found, its span is right, and the oracle is right."""
    generator = np.random.default_rng([*epochs, *ratios])
    found = right = known = 0
    for _ in range(draws):
        size = int(np.exp(generator.uniform(*np.log(epochs))))
        plant = planter(size, float(np.exp(generator.uniform(*np.log(ratios)))), generator)
        spans = [
            (finding.start_epoch, finding.end_epoch)
            for finding in find_all(read_history({"loss": plant.values}))
            if finding.kind == plant.kind
        ]
        found += bool(spans)
        right += any(plant.right(*span) for span in spans)
        if plant.columns is not None:
            onset, sure = oracle(plant)
            known += sure and plant.right(onset, size - 1)
    return found / draws, right / draws, known / draws if plant.columns is not None else np.nan


def section(planter: Planter, draws: int) -> str:
    """One kind's table in Markdown."""
    heads = [f"SNR {low}-{high}" for low, high in RATIOS]
    rows = []
    for epochs in EPOCHS:
        cells = [cell(planter, epochs, ratios, draws) for ratios in RATIOS]
        texts = [
            f"{right:.2f} ({found:.2f})" + ("" if np.isnan(known) else f" / {known:.2f}")
            for found, right, known in cells
        ]
        rows.append(f"| {epochs[0]}-{epochs[1]} | " + " | ".join(texts) + " |")
    title = planter.__name__.replace("_", " ").capitalize()
    lines = [f"## {title}", "", (planter.__doc__ or "").strip(), "", "| epochs | " + " | ".join(heads) + " |"]
    return "\n".join([*lines, "|-|" + "-|" * len(heads), *rows]) + "\n"


def false_alarms(draws: int) -> str:
    """How often a decay with noise and nothing else is told to be more."""
    generator = np.random.default_rng(1)
    counts = dict.fromkeys(ALARMS, 0)
    any_alarm = 0
    for _ in range(draws):
        kinds = {finding.kind for finding in find_all(read_history({"loss": pure_decay(generator)}))}
        any_alarm += bool(kinds & set(ALARMS))
        for kind in kinds & set(ALARMS):
            counts[kind] += 1
    parts = ", ".join(f"{kind} {count / draws:.2%}" for kind, count in counts.items())
    return f"## False alarms\n\nIn {any_alarm / draws:.2%} of {draws} decays with noise (bound 2%): {parts}.\n"


def main() -> None:
    """Plants, searches, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=50, help="draws in each cell of the tables (default 50)")
    parser.add_argument("--false-alarm-draws", type=int, default=2000, help="decays with noise (default 2000)")
    arguments = parser.parse_args()
    head = (
        "# Findings planted in a noisy decay\n\n"
        "Share of draws in which the finding's span is right, within 10% of its length or an epoch where that is less; "
        "in brackets the share found at all; after the stroke the share of an oracle that knows the shape of the decay "
        "and of the plant, fits its onset and size by least squares, and tells it at the 1% level. What the oracle "
        f"misses, the data do not say. {arguments.draws} draws a cell.\n"
    )
    sections = [head, *(section(planter, arguments.draws) for planter in PLANTS)]
    sections.append(false_alarms(arguments.false_alarm_draws))
    text = "\n".join(sections)
    print(text)
    OUT.write_text(text)


if __name__ == "__main__":
    main()
