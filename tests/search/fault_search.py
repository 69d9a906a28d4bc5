"""Small searches in processes of their own, which the tests of faults kill.

The processes are forked from a server that has imported TensorFlow already, so that each starts in no time.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from keras_lr.results._search_records import Journal, SearchFolder, read_journals
from keras_lr.search import LogGridSearch
from tests.fresh_process import leave_pipelines_unoptimized, leave_stacks_out, processes
from tests.search.small_search import classifier, iris

RATES = (1e-3, 3e-3, 1e-2)
REPEATS = 2
EPOCHS = 12
ROWS = len(RATES) * REPEATS * EPOCHS
KEY = ["learning_rate", "repeat", "batch_size", "epoch"]


def run_search(directory: Path, options: dict[str, Any], most_bytes: float) -> None:
    """What a process runs; it stands still once the journals have `most_bytes`, so that it is there to be killed."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    leave_stacks_out()
    leave_pipelines_unoptimized()
    sys.stderr = (directory / "search.log").open("w", buffering=1)
    if most_bytes < float("inf"):
        Journal.append = _then_stopping(Journal.append, directory, most_bytes)
    search(directory, **options)


def _then_stopping(append: Any, directory: Path, most_bytes: float) -> Any:
    def append_and_stop(journal: Journal, lines: Any) -> None:
        append(journal, lines)
        if recorded_bytes(directory) >= most_bytes:
            os.kill(os.getpid(), signal.SIGSTOP)

    return append_and_stop


def search(directory: Path, *, epochs: int = EPOCHS, workers: int | None = None, **options: Any) -> None:
    """Searches to the end."""
    x, y, validation = iris()
    tuner(directory, **options).search(x, y, validation_data=validation, epochs=epochs, batch_size=16, workers=workers)


def tuner(directory: Path, **options: Any) -> LogGridSearch:
    """A tuner over three rates and two repeats."""
    grid = {"learning_rates": RATES, "repeats": REPEATS, "extend": False}
    return LogGridSearch(classifier(), directory=directory, **{**grid, **options})


def start_search(directory: Path, *, most_bytes: float = float("inf"), **options: Any) -> Any:
    """A running process that searches; see `run_search` for `most_bytes`."""
    process = processes.Process(target=run_search, args=(directory, options, most_bytes))
    process.start()
    return process


def finish_search(directory: Path, **options: Any) -> pd.DataFrame:
    """Searches to the end in a process and returns the table."""
    process = start_search(directory, **options)
    process.join()
    assert process.exitcode == 0, f"the search ended with {process.exitcode}"
    return table(directory)


def table(directory: Path) -> pd.DataFrame:
    """The rows as a user gets them, of any number of processes."""
    return tuner(directory).sensitivity().frame.set_index(KEY)


def lines(directory: Path) -> list[tuple[Any, ...]]:
    """The key of every row in the journals, doubled ones included."""
    _, found = read_journals(SearchFolder(directory / "lr").records)
    return [tuple(line[name] for name in KEY) for line in found if "event" not in line]


def recorded_bytes(directory: Path) -> int:
    """Size of all journals."""
    return sum(path.stat().st_size for path in (directory / "lr" / "records").glob("*.jsonl"))


def kill_when(process: Any, directory: Path, *, recorded: float, whole: int) -> bool:
    """Kills `process` with SIGKILL once this share of the records is written; False if it ended before."""
    while process.is_alive() and recorded_bytes(directory) < recorded * whole:
        process.join(0.002)
    running = process.is_alive()
    process.kill()
    process.join()
    return running
