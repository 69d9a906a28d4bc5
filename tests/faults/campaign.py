"""A fault campaign: strikes range tests, searches, saves and the command, and counts what is as documented after each.

    python -m tests.faults.campaign [--faults 200] [--seed 0]

One process injects nearly all of them. After each fault the model's variables, optimizer, seeds, metrics, random states
and rate object are as before to the bit, no part of a file is left, a following `fit` or the same search goes on, and
exit codes are as documented. A signal that came after the end of its target is not counted. Ends with 1 where a fault
was not survived. Kill -9 of searches has a campaign of its own, `benchmarks/search_faults.py`.
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
"""How many of each kind a campaign of 216 strikes."""
MOST_MISSES = 5


@dataclass
class Tally:
    """What became of one kind of fault."""

    struck: int = 0
    survived: int = 0
    failures: list[str] = field(default_factory=list)


def strike(fault: Callable[[], bool], count: int) -> Tally:
    """Injects `fault` until it has struck `count` times, or has come too late too often."""
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
    """Strikes so many faults of each kind, and tells of each.

    Args:
        counts: Faults of each kind of `SHARES`.
        seed: Seed of the moments.
        folder: An empty folder to work in.
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
            print(f"{kind}: left out, since mounting a small disk needs root", flush=True)
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
    """At least `faults` faults, each kind by its share."""
    total = sum(SHARES.values())
    return {kind: -(-share * faults // total) for kind, share in SHARES.items()}


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200, help="least number of faults (%(default)d)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (%(default)d)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tallies = campaign(shared_out(options.faults), seed=options.seed, folder=Path(folder))
    struck, survived = (sum(getattr(tally, name) for tally in tallies.values()) for name in ("struck", "survived"))
    print(f"{survived} of {struck} faults survived")
    return 0 if survived == struck else 1


if __name__ == "__main__":
    sys.exit(main())
