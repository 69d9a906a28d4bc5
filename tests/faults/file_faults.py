"""Faults while results are saved: a full disk, a read-only disk, kill -9."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_lr import RangeTestResult, suggest
from keras_lr.report import Report

DISK_KIBIBYTES = 1024
OLD = "the former content\n"


class FileFaults:
    """Injects faults into the saving of a result and of its report.

    Args:
        generator: Chooses what is saved, and the random moments.
        folder: Where to write.
    """

    def __init__(self, generator: np.random.Generator, folder: Path) -> None:
        self._generator = generator
        self._folder = folder
        self._result = measured()
        self._report = Report("Fault").add(self._result)

    def full_disk(self) -> bool:
        """A disk with space for only a random fraction of the text."""
        save, text = self._what()
        with small_disk(self._folder / "disk") as (disk, _):
            target = disk / "result"
            target.write_text(OLD)
            fill(disk, leaving=int(self._generator.uniform(0, 0.9) * len(text)))
            refused(lambda: save(target), "No space left")
            assert target.read_text() == OLD
            assert {path.name for path in disk.iterdir()} == {"result", "ballast"}, "a partial file is left"
            (disk / "ballast").unlink()
            assert save(target).read_text() == text
        return True

    def read_only(self) -> bool:
        """A directory that has become read-only."""
        save, text = self._what()
        with small_disk(self._folder / "disk") as (disk, change):
            target = disk / "result"
            target.write_text(OLD)
            change("ro")
            refused(lambda: save(target), "Read-only")
            change("rw")
            assert target.read_text() == OLD
            assert [path.name for path in disk.iterdir()] == ["result"], "a partial file is left"
            assert save(target).read_text() == text
        return True

    def killed(self) -> bool:
        """Kill -9 while one file is overwritten again and again."""
        text = self._result.to_json(indent=1) + "\n"
        target = self._folder / "killed"
        target.write_text(OLD)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                while True:
                    self._result.save(target)
            os._exit(1)
        time.sleep(self._generator.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "saving failed before the kill"
        assert target.read_text() in (OLD, text), "a partial file is left"
        return True

    def _what(self) -> tuple[Callable[[Path], Path], str]:
        """How to save, and the text that the file must then hold."""
        if self._generator.integers(0, 2):
            return self._result.save, self._result.to_json(indent=1) + "\n"
        text = self._report.to_html()
        return self._report.save, text


def measured() -> RangeTestResult:
    """The result of a range test, computed from a formula."""
    rates = np.geomspace(1e-7, 10, 100)
    losses = 2.3 / (1 + (rates / 1e-3) ** 0.7) + (rates / 0.5) ** 2
    advice = suggest(rates, losses)
    return RangeTestResult(rates, losses, advice, stop_reason="completed", stop_detail="Done.", num_steps=len(rates))


def refused(save: Callable[[], Any], words: str) -> None:
    """Asserts that `save` raises an `OSError` with `words` in its message."""
    caught = None
    try:
        save()
    except OSError as error:
        caught = error
    assert words in str(caught), f"not the error with {words!r}: {caught!r}"


def fill(disk: Path, *, leaving: int) -> None:
    """Fills `disk` until `leaving` bytes are free, in whole pages."""
    state = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(max(0, state.f_bavail * state.f_bsize - leaving // 4096 * 4096)))


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a disk."""
    if os.name != "posix" or os.geteuid() != 0:
        return False
    try:
        with small_disk(folder / "tried"):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A temporary disk of 1 MiB at `place`, and a function that remounts it with other options.

    Raises:
        OSError: This process may not mount.
    """
    place.mkdir(exist_ok=True)

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)

    mount(f"size={DISK_KIBIBYTES}k")
    try:
        yield place, lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()
