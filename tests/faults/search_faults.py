"""Faults during a search: Ctrl-C, another process, a full or read-only disk, a torn record, the clock, SIGTERM."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from keras_lr.errors import SearchError
from keras_lr.results._search_records import read_journals
from keras_lr.search import LogGridSearch
from tests.faults.file_faults import fill, refused, small_disk
from tests.faults.sweep_faults import Moments, jumping_clock, pressed, raising
from tests.search import fault_search
from tests.search.small_search import classifier, run_small, small_search

KEY = ["learning_rate", "repeat", "epoch"]
NUMBERS = ["loss", "val_loss"]


class SearchFaults:
    """Injects faults into small searches, resumes them, and compares with an uninterrupted search.

    Args:
        generator: Chooses the random moments.
        folder: Where the projects go.
    """

    def __init__(self, generator: np.random.Generator, folder: Path) -> None:
        self._generator = generator
        self._folder = folder
        self._numbers = itertools.count()
        # The first search of a process is much slower than later ones.
        run_small(tuner(folder / "first"))
        began = time.perf_counter()
        self._unbroken = run_small(tuner(folder / "unbroken"))
        self._moments = Moments(generator, seconds=time.perf_counter() - began)
        self._records = records(folder / "unbroken")

    def interrupt(self) -> bool:
        """Ctrl-C at a random moment."""
        folder = self._new()
        with pressed(self._moments) as ended:
            run_small(tuner(folder))
            ended(True)
        self._check_resumed(folder)
        return ended.struck

    def second_process(self) -> bool:
        """Another process that searches the same project at the same time."""
        folder = self._new()
        cut = self._cut_short(folder)
        with writing_process(records(folder)), raising("one process at a time", kind=SearchError):
            run_small(tuner(folder))
        assert records(folder).read_bytes() == cut, "the records of the other process changed"
        self._check_resumed(folder)
        return True

    def torn_record(self) -> bool:
        """Records cut off at a random byte after the header, as after a power failure."""
        folder = self._new()
        self._cut_short(folder)
        self._check_resumed(folder)
        return True

    def clock(self) -> bool:
        """A system clock that jumps back and forth by days."""
        folder = self._new()
        with jumping_clock(self._generator):
            run_small(tuner(folder))
        self._check_resumed(folder)
        return True

    def full_disk(self) -> bool:
        """A disk with space for only a random fraction of the records."""
        with small_disk(self._folder / "disk") as (disk, change):
            # Space is allocated in pages: none, or one, which holds the header.
            fill(disk, leaving=4096 * int(self._generator.integers(0, 2)))
            refused(lambda: run_small(tuner(disk)), "space left")
            change("size=8m")
            self._check_resumed(disk)
        return True

    def read_only(self) -> bool:
        """A project on a disk that has become read-only."""
        with small_disk(self._folder / "disk") as (disk, change):
            change("ro")
            refused(lambda: run_small(tuner(disk)), "Read-only file system")
            change("rw")
            assert not list(disk.iterdir()), "a file is left"
            self._check_resumed(disk)
        return True

    def terminated(self) -> bool:
        """SIGTERM to a searching process, which the signal ends; the same search then resumes."""
        folder = self._new()
        process = fault_search.start_search(folder)
        share = self._generator.uniform(0, 0.5)
        while process.is_alive() and len(written(folder)) < share * fault_search.ROWS:
            process.join(0.005)
        process.terminate()
        process.join(60)
        struck = process.exitcode != 0
        assert process.exitcode in (0, -signal.SIGTERM), process.exitcode
        frame = fault_search.finish_search(folder)
        assert len(frame) == len(written(folder)) == len(set(written(folder))) == fault_search.ROWS
        return struck

    def _new(self) -> Path:
        return self._folder / f"project{next(self._numbers)}"

    def _cut_short(self, folder: Path) -> bytes:
        """Makes `folder` a project whose records end at a random byte; returns the records."""
        shutil.copytree(self._folder / "unbroken", folder)
        header = self._records.read_bytes().index(b"\n") + 1
        size = self._records.stat().st_size
        os.truncate(records(folder), int(self._generator.integers(header, size)))
        return records(folder).read_bytes()

    def _check_resumed(self, folder: Path) -> None:
        """Asserts that the same search completes with each row once, and with the numbers of an uninterrupted one."""
        frame = run_small(tuner(folder))
        keys = written(folder)
        assert len(keys) == len(set(keys)) == len(self._unbroken), f"{len(keys)} rows, {len(set(keys))} different"
        assert [path.name for path in records(folder).parent.iterdir()] == ["tuner0.jsonl"], "another file is left"
        one, other = (table.set_index(KEY).sort_index() for table in (frame, self._unbroken))
        pd.testing.assert_frame_equal(one[["seed", "status"]], other[["seed", "status"]])
        pd.testing.assert_frame_equal(one[NUMBERS], other[NUMBERS], rtol=1e-4)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "Ctrl-C has a different handler"


def tuner(directory: Path) -> LogGridSearch:
    """A tuner over two rates and two repeats."""
    return small_search(classifier(), directory)


def records(directory: Path) -> Path:
    """The journal of the project in `directory`."""
    return directory / "lr" / "records" / "tuner0.jsonl"


def written(directory: Path) -> list[tuple[object, ...]]:
    """The key of each row in the journals, including duplicates."""
    _, lines = read_journals(directory / "lr" / "records")
    return [tuple(line[name] for name in KEY) for line in lines if "event" not in line]


@contextmanager
def writing_process(path: Path) -> Iterator[None]:
    """Another process that holds the journal at `path` open."""
    ready, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
            os.write(telling, b"1")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.read(ready, 1)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(telling)
