"""Programs in a process of their own, forked from a server that has imported the heavy libraries already.

The import of TensorFlow takes seconds, and much of the time of a test that needs a fresh process. A forked one has
none of `keras_lr` in it, and a TensorFlow that has not begun.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import multiprocessing
import multiprocessing.process
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["keras", "keras_tuner", "pandas", "sklearn.datasets"])


def leave_pipelines_unoptimized() -> None:
    """Begins TensorFlow so that each iterator takes the functions of its pipeline as they are: a fifth of every `fit`.

    TensorFlow optimizes them with the options that it has when it begins. A training step is optimized with those of
    the moment, which are the usual ones again.
    """
    import tensorflow as tf

    usual = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    tf.config.list_logical_devices()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **usual})


def leave_stacks_out() -> None:
    """Keeps TensorFlow from storing the Python stack of each operation, a tenth of every `fit`, for its errors.

    Does nothing if TensorFlow stores them in another way. `with_stacks` undoes it for tests of what errors say.
    """
    import tensorflow  # noqa: F401  (before its parts)
    from tensorflow.python.framework import ops
    from tensorflow.python.util import tf_stack

    session = getattr(ops, "pywrap_tf_session", None)
    if hasattr(session, "TF_SetOpStackTrace") and hasattr(tf_stack, "extract_stack"):
        _stacks[:] = [
            mock.patch.object(tf_stack, "extract_stack", _do_nothing),
            mock.patch.object(session, "TF_SetOpStackTrace", _do_nothing),
        ]
    for patch in _stacks:
        patch.start()


@contextlib.contextmanager
def with_stacks() -> Iterator[None]:
    """A block in which TensorFlow's errors are as users see them."""
    for patch in _stacks:
        patch.stop()
    try:
        yield
    finally:
        for patch in _stacks:
            patch.start()


def _do_nothing(*arguments: Any, **keywords: Any) -> None:
    """Takes anything."""


_stacks: list[Any] = []


def run_fresh(
    *arguments: object,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    sets_up_devices: bool = False,
    timeout: float = 250,
) -> subprocess.CompletedProcess[str]:
    """Does as `python *arguments` does: a script, `-c` and its text, or `-m` and a module, then its own arguments.

    A program that sets up devices does so before TensorFlow begins, and with a TensorFlow that nothing is left out of.
    """
    with tempfile.TemporaryDirectory() as folder:
        shown = [Path(folder, name) for name in ("stdout", "stderr")]
        process = start_fresh(
            *arguments,
            cwd=cwd,
            environment=environment,
            sets_up_devices=sets_up_devices,
            stdout=shown[0],
            stderr=shown[1],
        )
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in shown]
    assert process.exitcode is not None
    return subprocess.CompletedProcess([str(argument) for argument in arguments], process.exitcode, *texts)


def start_fresh(
    *arguments: object,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    sets_up_devices: bool = False,
    stdout: str | Path = os.devnull,
    stderr: str | Path = os.devnull,
) -> multiprocessing.process.BaseProcess:
    """Begins what `run_fresh` does; `stdout` and `stderr` may be files, pipes or terminals."""
    words = [str(argument) for argument in arguments]
    shown = [os.fspath(stdout), os.fspath(stderr)]
    process = processes.Process(target=_run, args=(words, cwd or Path.cwd(), environment or {}, sets_up_devices, shown))
    process.start()
    return process


def _run(words: list[str], cwd: Path, environment: Mapping[str, str], sets_up_devices: bool, shown: list[str]) -> None:
    os.chdir(cwd)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    for path, stream in zip(shown, (sys.stdout, sys.stderr), strict=True):
        with open(path, "wb") as file:
            os.dup2(file.fileno(), stream.fileno())
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True)
    faulthandler.enable()
    if not sets_up_devices:
        leave_stacks_out()
        leave_pipelines_unoptimized()
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
