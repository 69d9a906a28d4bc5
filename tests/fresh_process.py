"""Programs in a process of their own, forked from a server that has imported the heavy libraries already.

The import of TensorFlow takes seconds, and much of the time of a test that needs a fresh process. A forked one has
none of `keras_lr` in it, and a TensorFlow that has not begun.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["keras", "keras_tuner", "pandas", "sklearn.datasets"])


def run_fresh(
    *arguments: object, cwd: Path | None = None, environment: Mapping[str, str] | None = None, timeout: float = 250
) -> subprocess.CompletedProcess[str]:
    """Does as `python *arguments` does: a script, `-c` and its text, or `-m` and a module, then its own arguments."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        shown = [Path(folder, name) for name in ("stdout", "stderr")]
        process = processes.Process(target=_run, args=(words, cwd or Path.cwd(), environment or {}, shown))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in shown]
    assert process.exitcode is not None
    return subprocess.CompletedProcess(words, process.exitcode, *texts)


def _run(words: list[str], cwd: Path, environment: Mapping[str, str], shown: list[Path]) -> None:
    os.chdir(cwd)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    for path, stream in zip(shown, (sys.stdout, sys.stderr), strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        _as_main(words[1])
    elif words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")


def _as_main(text: str) -> None:
    main: dict[str, Any] = vars(sys.modules["__main__"])
    exec(compile(text, "<string>", "exec"), main)
