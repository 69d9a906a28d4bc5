"""How often a planted finding is found in the right place, and how often a finding is reported without one.

`python benchmarks/findings.py [--draws N] [--false-alarm-draws N]` prints the table and writes
`benchmarks/results/findings.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _findings_plants import PLANTS, Plant, oracle, pure_decay

from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.readers import read_history

EPOCHS = ((10, 20), (20, 50), (50, 200), (200, 2000))
RATIOS = ((3, 5), (5, 10), (10, 30), (30, 250))
ALARMS = ("oscillation", "divergence", "early_plateau", "overfitting")
# Number of series without the plant per series with it; they calibrate the oracle.
NULLS_PER_DRAW = 20
OUT = Path(__file__).parent / "results" / "findings.md"

Planter = Callable[[int, float, np.random.Generator], Plant]


class Cell(NamedTuple):
    """Fractions of draws: the kind is found, its span is right, the oracle is right, another alarm is raised."""

    found: float
    right: float
    oracle: float
    other: float


def cell(planter: Planter, epochs: tuple[int, int], ratios: tuple[int, int], draws: int) -> Cell:
    """Plants `draws` times, with log-uniform lengths and signal-to-noise ratios."""
    generator, chance = np.random.default_rng([*epochs, *ratios]), np.random.default_rng(0)
    counts, onsets, nulls = np.zeros(3), [], []
    for _ in range(draws):
        size = int(np.exp(generator.uniform(*np.log(epochs))))
        plant = planter(size, float(np.exp(generator.uniform(*np.log(ratios)))), generator)
        findings = find_all(read_history({"loss": plant.values}))
        spans = [(item.start_epoch, item.end_epoch) for item in findings if item.kind == plant.kind]
        right = any(plant.right(*span) for span in spans)
        other = any(item.kind in ALARMS and item.kind != plant.kind for item in findings)
        counts += (bool(spans), right, other)
        if plant.columns is not None:
            onset, evidence, in_noise = oracle(plant, chance, NULLS_PER_DRAW)
            onsets.append((plant.right(onset, size - 1), evidence))
            nulls.append(in_noise)
    found, right, other = counts / draws
    return Cell(found, right, _sure_and_right(onsets, nulls), other)


def _sure_and_right(onsets: list[tuple[bool, float]], nulls: list[np.ndarray]) -> float:
    """Fraction of the oracle's onsets that are right, with evidence that only 1% of series without a plant exceed."""
    if not onsets:
        return np.nan
    bound = np.quantile(np.concatenate(nulls), 0.99)
    return float(np.mean([right and evidence > bound for right, evidence in onsets]))


def section(planter: Planter, draws: int) -> str:
    """One kind's table in Markdown."""
    heads = [f"SNR {low}-{high}" for low, high in RATIOS]
    rows, others = [], []
    for epochs in EPOCHS:
        cells = [cell(planter, epochs, ratios, draws) for ratios in RATIOS]
        others += [found.other for found in cells]
        texts = [
            f"{found.right:.2f} ({found.found:.2f}) / {found.oracle:.2f}".removesuffix(" / nan") for found in cells
        ]
        rows.append(f"| {epochs[0]}-{epochs[1]} | " + " | ".join(texts) + " |")
    title = planter.__name__.replace("_", " ").capitalize()
    text = f"{(planter.__doc__ or '').strip()} Another finding is reported in {np.mean(others):.1%}."
    lines = [f"## {title}", "", text, "", "| epochs | " + " | ".join(heads) + " |"]
    return "\n".join([*lines, "|-|" + "-|" * len(heads), *rows]) + "\n"


def false_alarms(draws: int) -> str:
    """How often a finding is reported in a decay with nothing but noise."""
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
    parser.add_argument("--draws", type=int, default=100, help="draws per cell of the tables (default 100)")
    parser.add_argument("--false-alarm-draws", type=int, default=2000, help="decays with noise (default 2000)")
    arguments = parser.parse_args()
    head = (
        "# Findings planted in a noisy decay\n\n"
        "Each cell gives three fractions of the draws, as `right (found) / oracle`. Right: the span of the finding is "
        "off by at most 10% of its length, or by one epoch if that is more. Found: the finding is reported at all. "
        "Oracle: the same as right for an oracle that knows the shapes of the decay and of the plant and fits the "
        "onset, size and period or growth by least squares; in simulated series without the plant it reports a finding "
        "in 1%. keras_lr weighs all shapes by their likelihood, so it may do better. A fraction of "
        f"{arguments.draws} draws has a standard error of at most {0.5 / arguments.draws**0.5:.2f}.\n"
    )
    sections = [head, *(section(planter, arguments.draws) for planter in PLANTS)]
    sections.append(false_alarms(arguments.false_alarm_draws))
    text = "\n".join(sections)
    print(text)
    OUT.write_text(text)


if __name__ == "__main__":
    main()
