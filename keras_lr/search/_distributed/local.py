"""Worker processes on this machine, which end with the search; with several GPUs, each worker gets one."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from keras_lr.search._distributed.worker import CHIEF_VARIABLE, WORKERS_VARIABLE

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10.0


class LocalWorkers:
    """A context within which `count` workers run.

    Args:
        command: The command of each worker; environment variables make it one.
        count: Number of workers.
        port: Port of the chief on the loopback interface.
        logs: Folder for one log file per worker.
        gpus: GPUs as named in `CUDA_VISIBLE_DEVICES`; worker `i` sees only the one at `i` modulo their number. If
            empty, the workers share the processors evenly.
    """

    def __init__(
        self, command: Sequence[str], *, count: int, port: int, logs: str | Path, gpus: Sequence[str] = ()
    ) -> None:
        self.command = list(command)
        self.port = port
        self.logs = Path(logs)
        self.gpus = list(gpus)
        # The process id keeps a later search from writing to the journal of a worker of this one that still runs.
        self.names = frozenset(f"worker{number}-{os.getpid()}" for number in range(count))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            for number, name in enumerate(sorted(self.names)):
                with self.log(name).open("wb") as log:
                    self._processes[name] = subprocess.Popen(
                        self.command,
                        env=os.environ | worker_environment(self, name, number),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        # Ctrl-C must reach only the chief, which then ends the workers.
                        start_new_session=True,
                    )
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._wait()
        self._end()

    @property
    def departed(self) -> frozenset[str]:
        """Names of the workers that have ended."""
        return frozenset(name for name, process in self._processes.items() if process.poll() is not None)

    def log(self, name: str) -> Path:
        """The file with the output of a worker."""
        return self.logs / f"{name}.log"

    def failures(self) -> str:
        """Exit code and last line of each worker that failed, one line per worker; empty if none did."""
        failed = sorted(name for name, process in self._processes.items() if process.poll() not in (None, 0))
        return "\n".join(
            f"{name} ended with exit code {self._processes[name].returncode} ({self.log(name)}): "
            f"{_last_line(self.log(name))}"
            for name in failed
        )

    def _wait(self) -> None:
        for process in self._processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                return

    def _end(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def worker_environment(workers: LocalWorkers, name: str, number: int) -> Mapping[str, str]:
    """The environment variables that a worker has in addition to the chief's; `number` counts from 0."""
    count = len(workers.names)
    threads = str(max(1, (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) // count))
    device = {"CUDA_VISIBLE_DEVICES": workers.gpus[number % len(workers.gpus)]} if workers.gpus else {}
    shares = {name: os.environ.get(name, threads) for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    return {
        **chief_address(workers.port),
        **({} if workers.gpus else shares),
        **device,
        "KERASTUNER_TUNER_ID": name,
        WORKERS_VARIABLE: str(count),
        CHIEF_VARIABLE: str(os.getpid()),
    }


def chief_address(port: int) -> dict[str, str]:
    """KerasTuner's variables for a chief on this machine."""
    return {"KERASTUNER_ORACLE_IP": LOOPBACK, "KERASTUNER_ORACLE_PORT": str(port)}


def free_port() -> int:
    """An unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing printed"
