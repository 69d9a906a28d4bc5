"""Small searches in processes of their own, which the tests of faults kill.

The processes are forked from a server that has imported TensorFlow already, so that each starts in no time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd

from keras_lr.search import LogGridSearch
from keras_lr.search._distributed import worker
from keras_lr.search._distributed.local import LocalWorkers, chief_address
from keras_lr.search._storage import Journal, SearchFolder, read_journals
from tests.fresh_process import processes
from tests.search.small_search import classifier, iris

RATES = (1e-3, 3e-3, 1e-2)
REPEATS = 2
EPOCHS = 12
ROWS = len(RATES) * REPEATS * EPOCHS
NOT_LONG = {"gone_seconds": 4.0, "connect_seconds": 3.0}
"""How long a worker waits for a chief that is not there and will not come."""

KEY = ["learning_rate", "repeat", "batch_size", "epoch"]


class Together(LogGridSearch):
    """A search whose workers begin once all have met their chief: one that comes too late would wait for another."""

    barrier: Any = None

    def on_search_begin(self) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.barrier.wait(20)


def run_search(
    directory: Path,
    options: dict[str, Any],
    environment: dict[str, str],
    barrier: Any,
    *,
    gone_seconds: float = 30.0,
    connect_seconds: float = 60.0,
    most_bytes: float = float("inf"),
) -> None:
    """What a process runs; it stands still once the journals have `most_bytes`, so that it is there to be killed."""
    os.environ |= environment | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    sys.stderr = _log(directory, environment.get("KERASTUNER_TUNER_ID", "alone")).open("w", buffering=1)
    worker.GONE_SECONDS, worker.CONNECT_SECONDS = gone_seconds, connect_seconds
    Together.barrier = barrier
    if most_bytes < float("inf"):
        Journal.append = _then_stopping(Journal.append, directory, most_bytes)
    search(directory, **options)


def _then_stopping(append: Any, directory: Path, most_bytes: float) -> Any:
    def append_and_stop(journal: Journal, lines: Any) -> None:
        append(journal, lines)
        if recorded_bytes(directory) >= most_bytes:
            os.kill(os.getpid(), signal.SIGSTOP)

    return append_and_stop


def search(directory: Path, *, epochs: int = EPOCHS, **options: Any) -> None:
    """Searches to the end."""
    x, y, validation = iris()
    tuner(directory, **options).search(x, y, validation_data=validation, epochs=epochs, batch_size=16)


def tuner(directory: Path, **options: Any) -> LogGridSearch:
    """A tuner over three rates and two repeats."""
    grid = {"learning_rates": RATES, "repeats": REPEATS, "extend": False}
    kind = LogGridSearch if Together.barrier is None else Together
    return kind(classifier(), directory=directory, **{**grid, **options})


def start_search(
    directory: Path,
    *,
    environment: dict[str, str] | None = None,
    barrier: Any = None,
    waits: dict[str, float] | None = None,
    **options: Any,
) -> Any:
    """A running process that searches; a worker waits at the barrier before it trains."""
    given = (directory, options, environment or {}, barrier)
    process = processes.Process(target=run_search, args=given, kwargs=waits or {})
    # Without a reference, the barrier would be destroyed before the process has taken it over.
    process.barrier = barrier
    process.start()
    return process


LIVING_WORKER = """
import threading, time
from keras_lr.search._distributed import worker
worker.HEARTBEAT_SECONDS = 0.1
class Silent:
    def CreateTrial(self, request): pass
threading.Thread(target=worker._send_heartbeats, args=(Silent(), "worker0", threading.Event())).start()
print("on", flush=True)
time.sleep(600)
"""


def hold_local_worker(logs: Path, pid: Any) -> None:
    """What the process of a chief runs that only holds a local worker, whose process it tells."""
    with LocalWorkers([sys.executable, "-c", LIVING_WORKER], count=1, port=1, logs=logs) as group:
        pid.value = next(iter(group._processes.values())).pid
        time.sleep(600)


def finish_search(directory: Path, **options: Any) -> pd.DataFrame:
    """Searches to the end in a process and returns the table."""
    process = start_search(directory, **options)
    process.join(60)
    assert process.exitcode == 0, f"the search ended with {process.exitcode}"
    return table(directory)


def start_late_worker(directory: Path, port: int, **options: Any) -> Any:
    """A worker whose chief is not there."""
    environment = {**chief_address(port), "KERASTUNER_TUNER_ID": "late"}
    return start_search(directory, environment=environment, waits=NOT_LONG, **options)


def start_cluster(directory: Path, port: int, *, loses_chief: bool = False, **options: Any) -> dict[str, Any]:
    """A chief and two workers, by name; workers that are to lose their chief do not wait for it as long as others."""
    environment = {**chief_address(port), "KERAS_LR_WORKERS": "3", "KERAS_LR_STALE_SECONDS": "5"}
    common: dict[str, Any] = {"barrier": processes.Barrier(2), **options}
    if loses_chief:
        common["waits"] = {"gone_seconds": NOT_LONG["gone_seconds"]}
    return {
        name: start_search(directory, environment={**environment, "KERASTUNER_TUNER_ID": name}, **common)
        for name in ("chief", "worker0", "worker1")
    }


def said(directory: Path, name: str) -> list[str]:
    """The lines that a process showed to its user."""
    return [line for line in _log(directory, name).read_text().splitlines() if "keras_lr: " in line]


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


def end_all(cluster: dict[str, Any]) -> None:
    """Waits for every process of a cluster, and ends what does not end by itself."""
    for process in cluster.values():
        process.join(60)
        process.kill()
        process.join()


def _log(directory: Path, name: str) -> Path:
    return directory / f"{name}.log"
