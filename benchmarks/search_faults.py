"""A campaign of kill -9: searches, and their workers, are killed at random moments and resumed.

`python benchmarks/search_faults.py` prints one row per kind and writes `benchmarks/results/search_faults.md`. A search
is killed once a random fraction of its records is written, resumed by the same command, and compared with an
uninterrupted search: every row must exist exactly once, with the same numbers. The searches are those of
`tests/search/test_faults.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.search import fault_search  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "search_faults.md"
KINDS = {
    "one process, stacked": ("stacked", None),
    "one process, run by run": ("function", None),
    "the search, with two workers": ("function", "search"),
    "one of its two workers": ("function", "worker"),
}
TOLERANCE = 1e-4


def kill_and_resume(folder: Path, engine: str, victim: str | None, moment: float, whole: int) -> bool:
    """Kills a search or a worker and finishes the search; returns False if it had ended before the kill."""
    workers = None if victim is None else 2
    search = fault_search.start_search(folder, engine=engine, workers=workers)
    if victim != "worker":
        hit = fault_search.kill_when(search, folder, recorded=moment, whole=whole)
        fault_search.finish_search(folder, engine=engine, workers=workers)
        return hit
    while search.is_alive() and fault_search.recorded_bytes(folder) <= moment * whole:
        search.join(0.002)
    found = psutil.Process(search.pid).children() if search.is_alive() else []
    for worker in found[:1]:
        worker.kill()
    search.join()
    return bool(found)


def faults_of(folder: Path, unbroken: Path) -> list[str]:
    """What is wrong with a resumed search, if anything."""
    written = fault_search.lines(folder)
    found = []
    if len(written) != len(set(written)):
        found.append(f"{len(written) - len(set(written))} duplicate rows")
    if len(set(written)) != fault_search.ROWS:
        found.append(f"{fault_search.ROWS - len(set(written))} rows lost")
        return found
    columns = ["loss", "val_loss", "accuracy", "val_accuracy"]
    one, other = fault_search.table(folder)[columns], fault_search.table(unbroken)[columns]
    worst = float(np.max(np.abs(one - other) / np.abs(other).clip(lower=1e-6)))
    return [*found, *([f"numbers differ by {worst:.1g}"] if worst > TOLERANCE else [])]


def campaign(kind: str, kills: int, unbroken: dict[str, Path]) -> str:
    """A row of the table: the number of kills, of those that hit a running search, and of faults."""
    engine, victim = KINDS[kind]
    generator = np.random.default_rng(sorted(KINDS).index(kind))
    hits, wrong, start = 0, [], time.perf_counter()
    for moment in generator.uniform(0, 0.95, kills):
        with tempfile.TemporaryDirectory() as folder:
            whole = fault_search.recorded_bytes(unbroken[engine])
            hits += kill_and_resume(Path(folder), engine, victim, float(moment), whole)
            wrong += faults_of(Path(folder), unbroken[engine])
    line = f"| {kind} | {kills} | {hits} | {len(wrong)} {'; '.join(wrong)} | {time.perf_counter() - start:.0f} |"
    print(line, flush=True)
    return line


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills per kind (%(default)d)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unbroken = {engine: Path(folder) / engine for engine in ("stacked", "function")}
        for engine, place in unbroken.items():
            place.mkdir()
            fault_search.finish_search(place, engine=engine)
        lines: list[str] = []
        for kind in KINDS:
            lines.append(campaign(kind, options.kills, unbroken))
            RESULT.write_text(report(lines))


def report(lines: list[str]) -> str:
    """The result in Markdown."""
    head = (
        "# Searches killed at random moments\n\nEach was resumed by the same command and compared with an "
        f"uninterrupted search: {fault_search.ROWS} rows, with numbers within a relative {TOLERANCE:g}.\n\n"
        "| kind | kills | of a running search | faults | seconds |\n|-|-|-|-|-|\n"
    )
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
