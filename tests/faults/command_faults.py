"""Faults for `keras-lr find`: Ctrl-C, and a disk on which the result cannot be written."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path

import numpy as np

from keras_lr import RangeTestResult
from keras_lr.cli import main
from tests.faults.file_faults import fill, small_disk
from tests.faults.sweep_faults import Moments, pressed

INTERRUPTED, BAD_INPUT = 130, 2
PROGRAM = """
import keras
from sklearn.datasets import load_diabetes

def build():
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model

def data():
    x, y = load_diabetes(return_X_y=True)
    return x.astype("float32"), y.astype("float32")
"""


class CommandFaults:
    """Injects faults into the command in this process, and checks its exit code and files.

    Args:
        generator: Chooses the random moments.
        folder: Where the user's program and the results go.
    """

    def __init__(self, generator: np.random.Generator, folder: Path) -> None:
        folder = folder / "command"
        folder.mkdir()
        self._program = folder / "faulty_program.py"
        self._program.write_text(PROGRAM)
        self._json = folder / "result.json"
        self._disk = folder / "disk"
        self._find(self._json)
        began = time.perf_counter()
        self._find(self._json)
        self._moments = Moments(generator, seconds=time.perf_counter() - began)

    def interrupt(self) -> bool:
        """Ctrl-C at a random moment: exit code 130, and a result that is complete or absent."""
        self._json.unlink(missing_ok=True)
        codes: list[int] = []
        with pressed(self._moments) as ended:
            codes.append(self._find(self._json))
            ended(codes[0] == 0)
        if codes:
            assert codes[0] in (0, INTERRUPTED), codes
        if self._json.exists():
            RangeTestResult.load(self._json)
        assert not [path for path in self._json.parent.iterdir() if path.name.startswith(".")], "a temporary file"
        assert self._find(self._json) == 0
        return bool(codes) and ended.struck

    def full_disk(self) -> bool:
        """No space for the result: exit code 2, and no partial file."""
        return self._unwritable("", "No space left")

    def read_only(self) -> bool:
        """A read-only directory: exit code 2, and no partial file."""
        return self._unwritable("ro", "Read-only")

    def _unwritable(self, option: str, words: str) -> bool:
        with small_disk(self._disk) as (disk, change):
            fill(disk, leaving=0)
            if option:
                change(option)
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                assert self._find(disk / "result.json") == BAD_INPUT
            assert words in errors.getvalue(), errors.getvalue()
            assert [path.name for path in disk.iterdir()] == ["ballast"], "a partial file is left"
        return True

    def _find(self, result: Path) -> int:
        program = f"{self._program}:build"
        options = ["--data", f"{self._program}:data", "--num-steps", "60", "--json", str(result)]
        with contextlib.redirect_stdout(io.StringIO()):
            return main(["find", program, *options])
