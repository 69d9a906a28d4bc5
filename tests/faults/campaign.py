"""A fault campaign: injects faults into range tests, searches, saves and the command line, and counts those survived.

    python -m tests.faults.campaign [--faults 200] [--seed 0]

A fault is survived if the model's variables, optimizer, seeds, metrics, random states and learning-rate object are
bit-identical afterwards, no partial file is left, the next `fit` trains or the same search resumes, and the exit code
is the documented one. A signal that arrives after the end of its target is not counted. Nearly all faults are injected
into one process. Exits with 1 if a fault was not survived. `benchmarks/search_faults.py` is the campaign of kill -9.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults.command_faults import CommandFaults
from tests.faults.file_faults import FileFaults, can_mount
from tests.faults.search_faults import SearchFaults
from tests.faults.sweep_faults import SweepFaults

SHARES = {
    "sweep.interrupt": 30,
    "sweep.interrupt_twice": 14,
    "sweep.interrupt_in_a_step": 10,
    "sweep.data_generator": 20,
    "sweep.data_reader": 14,
    "sweep.eager_step": 12,
    "sweep.eager_memory": 12,
    "sweep.graph_step": 24,
    "sweep.graph_memory": 2,
    "sweep.user_callback": 12,
    "sweep.clock": 6,
    "file.full_disk": 10,
    "file.read_only": 6,
    "file.killed": 10,
    "search.interrupt": 8,
    "search.second_process": 4,
    "search.torn_record": 6,
    "search.clock": 2,
    "search.full_disk": 3,
    "search.read_only": 2,
    "search.terminated": 3,
    "command.interrupt": 4,
    "command.full_disk": 1,
    "command.read_only": 1,
}
"""How many faults of each kind a campaign of 216 injects."""

MOST_MISSES = 20
"""Tries per fault. Each signal that comes too late halves the range of the next, so that a few tries always suffice."""


@dataclass
class Tally:
    """The outcome of one kind of fault."""

    struck: int = 0
    survived: int = 0
    failures: list[str] = field(default_factory=list)


def strike(fault: Callable[[], bool], count: int) -> Tally:
    """Injects `fault` until it has struck `count` times, or has missed its target `MOST_MISSES` times as often."""
    tally = Tally()
    for _ in range(count * MOST_MISSES):
        if tally.struck == count:
            break
        try:
            hit = fault()
        except (Exception, KeyboardInterrupt) as error:
            tally.struck += 1
            tally.failures.append("".join(traceback.format_exception(error))[-1500:])
        else:
            tally.struck += hit
            tally.survived += hit
    return tally


def campaign(counts: dict[str, int], *, seed: int, folder: Path) -> dict[str, Tally]:
    """Injects faults of each kind, and prints the outcome.

    Args:
        counts: Number of faults by kind, as in `SHARES`.
        seed: Seed of the random moments.
        folder: An empty directory to work in.
    """
    generator = np.random.default_rng(seed)
    makers: dict[str, Callable[[], object]] = {
        "sweep": lambda: SweepFaults(generator),
        "file": lambda: FileFaults(generator, folder),
        "search": lambda: SearchFaults(generator, folder),
        "command": lambda: CommandFaults(generator, folder),
    }
    mounts = can_mount(folder)
    made: dict[str, object] = {}
    tallies = {}
    for kind, count in counts.items():
        place, name = kind.split(".")
        if name in ("full_disk", "read_only") and not mounts:
            print(f"{kind}: skipped, because mounting a small disk needs root", flush=True)
            continue
        if place not in made:
            made[place] = makers[place]()
        began = time.perf_counter()
        tallies[kind] = tally = strike(getattr(made[place], name), count)
        seconds = time.perf_counter() - began
        print(f"{kind}: {tally.survived} of {tally.struck} survived, {seconds:.0f} s", flush=True)
        for failure in tally.failures:
            print(failure, flush=True)
    return tallies


def shared_out(faults: int) -> dict[str, int]:
    """At least `faults` faults, divided among the kinds in proportion to `SHARES`."""
    total = sum(SHARES.values())
    return {kind: -(-share * faults // total) for kind, share in SHARES.items()}


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200, help="minimum number of faults (%(default)d)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments (%(default)d)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tallies = campaign(shared_out(options.faults), seed=options.seed, folder=Path(folder))
    struck, survived = (sum(getattr(tally, name) for tally in tallies.values()) for name in ("struck", "survived"))
    print(f"{survived} of {struck} faults survived")
    return 0 if survived == struck else 1


if __name__ == "__main__":
    sys.exit(main())
