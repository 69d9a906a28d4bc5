"""The only module that imports Dask: a pool of workers that train shares, local workers, and what a worker runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import tensorflow as tf
from distributed import Client, KilledWorker, LocalCluster, NannyPlugin, Status, Worker, WorkerPlugin, get_worker

from keras_lr.analysis._search_result import UsedEngine, slowest_engine
from keras_lr.devices import processor_count
from keras_lr.errors import InvalidArgumentError, SearchError
from keras_lr.results._search_records import Run
from keras_lr.results._sensitivity import ENGINES, EngineName
from keras_lr.search._distributed.place import Place
from keras_lr.search._distributed.share import (
    PackedSearch,
    Piece,
    Settings,
    answer,
    random_per_thread,
    versions,
)
from keras_lr.search._fit_arguments import ALIGNMENT
from keras_lr.search._recorder import Recorded, Share

MAX_DEATHS = 4
"""Workers that may end while they train a share before its runs count as failed."""

MAX_POINTS_PER_SHARE = 32
"""Upper bound on the points that are lost when a worker ends."""

LOOK_SECONDS = 0.25
"""Interval at which the scheduler is asked for its workers."""

NOTICE_SECONDS = 5.0
RECONNECT_SECONDS = 15.0
"""How long a worker that has lost its scheduler looks for it. A cut line takes Dask 30 seconds to notice."""

_START_SECONDS = 60.0
_CHECK_SECONDS = 30.0
"""How long the first share waits for the versions of all workers: one may be busy with another client's task."""

_CLOSE_SECONDS = 5.0
_LARGE_BYTES = 1 << 20
"""Size from which an array is sent in pieces, so that no copy of it is made on the way."""

_PIECE_BYTES = 1 << 23
_LOST = (KilledWorker, CancelledError, OSError)
"""How a task ends that Dask could not finish."""


@contextlib.contextmanager
def open_pool(search: Any, place: Place, *, logs: Path, notify: Callable[[str], None]) -> Iterator[DaskPool]:
    """The workers of a search, within a context.

    Args:
        search: Opens the search in another process, as a picklable function that returns a `Trainer`.
        place: Where the workers are.
        logs: Folder for what the workers of this machine print.
        notify: Shows a line to the user.

    Raises:
        InvalidArgumentError: The search cannot be pickled, the scheduler cannot be reached, or the port is taken.
    """
    messages = Messages(search)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(random_per_thread())
        client, local = place.cluster, None
        if not isinstance(client, Client):
            address = place.cluster
            if address is None:
                own = start_scheduler(*place.address)
                stack.callback(own.close, timeout=_CLOSE_SECONDS)
                address = own.scheduler_address
            if place.workers is not None:
                local = stack.enter_context(contextlib.closing(LocalWorkers(address, place.workers, logs)))
            client = _client(address)
            stack.callback(client.close, timeout=_CLOSE_SECONDS)
        if place.cluster is not None:
            for plugin in exit_plugins():
                client.register_plugin(plugin)
        pool = DaskPool(client, messages, place, notify, local)
        yield pool
        pool.finish()


@dataclass(eq=False)
class _Task:
    """Runs that a worker is to train, and the number of workers that have ended with them."""

    runs: Sequence[Run]
    deaths: int = 0


@dataclass(eq=False)
class _Member:
    """A worker of the pool.

    Attributes:
        address: Its address, which another process may take once it has ended.
        can_train: Whether it declares what is needed, and has not been refused.
        unsent: What it must receive before its first share.
        checked: Whether its versions are known.
        future: What it is at work on; None if it is idle.
        task: The share that it trains; None if it receives the search.
    """

    address: str
    can_train: bool
    unsent: Iterator[bytes]
    checked: bool = False
    future: Any = None
    task: _Task | None = None


class DaskPool:
    """Workers that train runs, one share at a time each.

    A share is bound to its worker, and the pool itself moves it when the worker has gone: Dask would count the deaths
    of all tasks that wait for the worker, and would wait silently for a resource that nobody declares.

    Without `local` workers, which run on this machine, all were started elsewhere.
    """

    def __init__(
        self,
        client: Client,
        messages: Messages,
        place: Place,
        notify: Callable[[str], None],
        local: LocalWorkers | None,
    ) -> None:
        self._client, self._messages, self._local = client, messages, local
        self._resources, self._wait, self._notify = dict(place.resources), place.wait, notify
        self._address = client.scheduler.address
        self._id = uuid.uuid4().hex
        self._members: dict[str, _Member] = {}
        self._pending: deque[_Task] = deque()
        self._failed: list[Recorded] = []
        self._done: queue.SimpleQueue[tuple[_Member, Any, Any]] = queue.SimpleQueue()
        self._used: set[str] = set()
        self._again = 0
        self._next_look = 0.0
        self._started = time.monotonic()
        self._training_seconds = self._opening_seconds = 0.0

    def train(
        self, runs: Sequence[Run], share: Callable[..., Share], *, engine: UsedEngine
    ) -> Generator[Recorded, None, None]:
        """Trains runs, and yields what becomes of each share, which `share` makes of some runs and the engine.

        Raises:
            SearchError: The scheduler has gone, or no worker can train.
        """
        try:
            self._pending.extend(map(_Task, _divided(runs, engine[0], workers=len(self._able()))))
            while self._pending or any(member.task for member in self._members.values()):
                for member in self._able():
                    if member.future is None:
                        self._give(member, partial(share, engine=engine))
                for recorded in self._results():
                    used = slowest_engine(recorded.lines) or engine
                    engine = max(engine, used, key=lambda one: ENGINES.index(one[0]))
                    yield recorded
        finally:
            self._cancel()

    def details(self) -> Mapping[str, Any]:
        """Number of workers that have trained, and of shares that were trained again; empty if none has trained."""
        count = self._local.count if self._local else len(self._used)
        return {"workers": count, "shares_trained_again": self._again} if self._used else {}

    def finish(self) -> None:
        """Says so if this process alone would have been faster."""
        seconds = time.monotonic() - self._started
        if self._local and self._used and self._training_seconds + self._opening_seconds < seconds:
            self._notify(
                f"The runs trained for {self._training_seconds:.1f} s, but the search took {seconds:.1f} s, since its "
                f"workers had to start first. A search this small is faster without `workers`."
            )

    def _able(self) -> list[_Member]:
        """The workers that can train, once there are any.

        Raises:
            SearchError: The scheduler has gone, or there has been no such worker for too long.
        """
        began, told = time.monotonic(), False
        while True:
            if time.monotonic() >= self._next_look:
                self._look()
                self._next_look = time.monotonic() + LOOK_SECONDS
            able = [member for member in self._members.values() if member.can_train]
            waited = time.monotonic() - began
            if able:
                return able
            if waited > self._wait:
                raise SearchError(self._shortage(f"within {self._wait:g} s"))
            if waited > NOTICE_SECONDS and not told and not self._local:
                self._notify(self._shortage(f"yet. Waiting up to {self._wait:g} s"))
                told = True
            time.sleep(LOOK_SECONDS)

    def _shortage(self, until: str) -> str:
        """Says which workers have been missing `until` now, and what to do."""
        wanted = " ".join(f"{name}={amount:g}" for name, amount in self._resources.items())
        if self._members and wanted:
            missing = f"0 of {len(self._members)} workers declare {wanted}"
        else:
            missing = f"No worker has joined {self._address}"
        declared = f' --resources "{wanted}"' if wanted else ""
        remedy = f"Start one with: dask worker {self._address}{declared}"
        if self._local:
            remedy = f"See what they printed in {self._local.logs}."
        return f"{missing} {until}. {remedy}"

    def _look(self) -> None:
        """Asks the scheduler which workers there are."""
        if self._local:
            self._local.restart(joined=bool(self._members))
        try:
            if self._client.status != "running":
                raise OSError(f"the client is {self._client.status}")
            found = self._client.run_on_scheduler(_workers_of_scheduler())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise SearchError(
                f"The scheduler at {self._address} has gone. What was recorded is kept. Start it again, then run the "
                f"search again."
            ) from error
        for name in self._members.keys() - found.keys():
            member = self._members.pop(name)
            self._abandon(member)
            if member.task is not None:
                self._lose(member)
        for name in found.keys() - self._members.keys():
            address, declared = found[name]
            can_train = all(declared.get(resource, 0) >= amount for resource, amount in self._resources.items())
            self._members[name] = _Member(address, can_train, iter(self._messages))

    def _give(self, member: _Member, share: Callable[[Sequence[Run]], Share]) -> None:
        """Gives an idle worker a part of the search, or a share once it has the search and the workers are checked."""
        message = next(member.unsent, None)
        unknown = any(not other.checked and other.future for other in self._members.values())
        may_train = self._used or not unknown or time.monotonic() > self._started + _CHECK_SECONDS
        if message is None and self._pending and may_train:
            member.task = self._pending.popleft()
            message = pickle.dumps(share(member.task.runs))
            self._used.add(member.address)
        if message is not None:
            member.future = self._client.submit(
                _by_value(),
                self._id,
                message,
                key=f"keras_lr-{uuid.uuid4().hex}",
                workers=[member.address],
                allow_other_workers=False,
                resources=self._resources if member.task else None,
            )
            threading.Thread(target=self._collect, args=(member, member.future), daemon=True).start()

    def _collect(self, member: _Member, future: Any) -> None:
        try:
            self._done.put((member, future, future.result()))
        except BaseException as error:
            self._done.put((member, future, error))

    def _results(self) -> Iterator[Recorded]:
        """What has become of shares since the last call, after a short wait."""
        with contextlib.suppress(queue.Empty):
            member, future, result = self._done.get(timeout=LOOK_SECONDS)
            if member.future is future:
                member.future = None
                if isinstance(result, Recorded):
                    member.task = None
                    self._training_seconds += result.seconds
                    self._opening_seconds = max(self._opening_seconds, result.opening_seconds)
                    yield result
                elif member.task is None:
                    self._take_in(member, result)
                elif result is None or isinstance(result, _LOST):
                    self._lose(member, died=isinstance(result, KilledWorker))
                else:
                    raise result
        failed, self._failed = self._failed, []
        yield from failed

    def _take_in(self, member: _Member, result: Any) -> None:
        """Takes in what a worker has answered to a part of the search."""
        member.checked = True
        if result is None or isinstance(result, _LOST):
            member.unsent = iter(self._messages)
        elif result:
            member.can_train = False
            if isinstance(result, Exception):
                why = f"{type(result).__name__}: {result}. Install keras_lr and TensorFlow there."
            else:
                why = f"it has {result}. Install the same versions everywhere."
            message = f"The worker at {member.address} cannot train: {why}"
            if not self._used:
                raise SearchError(message)
            self._notify(message)

    def _lose(self, member: _Member, *, died: bool = True) -> None:
        """Takes back the share of a worker that has ended, or that has forgotten the search."""
        task, member.task, member.unsent = member.task, None, iter(self._messages)
        assert task is not None
        task.deaths += died
        if task.deaths < MAX_DEATHS:
            self._again += 1
            # At the end, so that a share which ends its workers holds up no other.
            self._pending.append(task)
            return
        text = f"{task.deaths} workers ended while they trained this share of {len(task.runs)} runs"
        self._failed.append(Recorded(failures=[(run, "SearchError", text) for run in task.runs]))

    def _cancel(self) -> None:
        """Cancels what is still in training."""
        self._pending.clear()
        for member in self._members.values():
            if member.task is not None:
                self._abandon(member)
                member.task, member.unsent = None, iter(self._messages)

    def _abandon(self, member: _Member) -> None:
        """Cancels what a worker is at work on."""
        if member.future is not None and self._client.status == "running":
            with contextlib.suppress(Exception):
                self._client.cancel([member.future], force=True)
        member.future = None


def _divided(runs: Sequence[Run], engine: EngineName, *, workers: int) -> list[list[Run]]:
    """Shares of whole points, as even as possible, for the stacked engine; else of single runs."""
    if engine != "stacked":
        return [[run] for run in runs]
    points = list(dict.fromkeys(run.point for run in runs))
    count = max(min(workers, len(points)), math.ceil(len(points) / MAX_POINTS_PER_SHARE))
    parts = [set(points[len(points) * n // count : len(points) * (n + 1) // count]) for n in range(count)]
    return [[run for run in runs if run.point in part] for part in parts]


def _workers_of_scheduler() -> Any:
    """A function for the scheduler, which need not have keras_lr: only a nested function is sent by value."""

    def workers(dask_scheduler: Any) -> dict[str, tuple[str, dict[str, float]]]:
        return {
            state.server_id: (address, dict(state.resources))
            for address, state in dask_scheduler.workers.items()
            if state.status.name in ("running", "paused")
        }

    return workers


def _by_value() -> Any:
    """What a worker runs, as a function that is sent by value through the scheduler."""

    def perform(search_id: str, message: bytes) -> Any:
        from keras_lr.search._distributed import dask_pool

        return dask_pool.perform(search_id, message)

    return perform


def perform(search_id: str, message: bytes) -> Recorded | str | None:
    """What a worker answers to a message; a share ends when the pool no longer waits for it."""
    worker = get_worker()
    key = worker.get_current_task()

    def is_cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return worker.status not in (Status.running, Status.paused) or task is None or task.state == "cancelled"

    return answer(search_id, pickle.loads(message), is_cancelled)


class Messages:
    """A search as the messages that bring it to a worker, with the user's modules by value.

    Args:
        search: A dataclass of picklable parts that opens the search when it is called.

    Raises:
        InvalidArgumentError: A part cannot be pickled.
    """

    def __init__(self, search: Any) -> None:
        # A process that multiprocessing starts has its main module under two names.
        modules = list(dict.fromkeys(module for module in list(sys.modules.values()) if _is_users_module(module)))
        named = [module for module in modules if module.__name__ != "__main__"]
        self._arrays: list[tuple[int, memoryview]] = []
        self._size = 0
        for module in named:
            cloudpickle.register_pickle_by_value(module)
        try:
            custom = dict(keras.saving.get_custom_objects())
            code = cloudpickle.dumps((search, custom), protocol=5, buffer_callback=self._keep_small)
        except Exception as error:
            raise _cannot_be_sent(search, error) from error
        finally:
            for module in named:
                cloudpickle.unregister_pickle_by_value(module)
        sources = {str(module.__file__): Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules}
        places = [(offset, array.nbytes) for offset, array in self._arrays]
        self._head = pickle.dumps(PackedSearch(code, places, sources, Settings(), versions()))

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for offset, array in self._arrays:
            for start in range(0, array.nbytes, _PIECE_BYTES):
                yield pickle.dumps(Piece(offset + start, bytes(array[start : start + _PIECE_BYTES])))

    def _keep_small(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether a buffer is small enough to be pickled with the rest; else it is kept to be sent in pieces."""
        array = buffer.raw()
        if array.nbytes < _LARGE_BYTES:
            return True
        self._arrays.append((self._size, array))
        self._size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        return False


def _is_users_module(module: Any) -> bool:
    """Whether a module is no part of an installed package, so that a worker cannot import it."""
    path, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
    if not isinstance(path, str) or not path.endswith(".py") or sys.modules.get(name) is not module:
        return False
    installed = path.startswith(_INSTALLED) or "/site-packages/" in path or "/dist-packages/" in path
    return not installed and name.split(".")[0] != "keras_lr" and os.path.isfile(path)


_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _cannot_be_sent(search: Any, error: Exception) -> InvalidArgumentError:
    """The error that names the first part that cannot be pickled."""
    parts = {**search.tuner, **search.fit_kwargs, **{f"argument {n}": part for n, part in enumerate(search.fit_args)}}
    for name, part in parts.items():
        try:
            cloudpickle.dumps(part)
        except Exception as cause:
            kind = type(part).__name__
            remedy = (
                "Pass arrays or a PyDataset" if isinstance(part, tf.data.Dataset) else "Make what it holds inside it"
            )
            return InvalidArgumentError(
                f"`{name}` must be picklable to be sent to a worker. Received: {kind}, which is not: {cause}. "
                f"{remedy}, or search without workers."
            )
    return InvalidArgumentError(f"The search cannot be sent to a worker: {error}. Search without workers.")


def start_scheduler(host: str, port: int) -> LocalCluster:
    """A scheduler in this process.

    Raises:
        InvalidArgumentError: The port is taken.
    """
    try:
        return LocalCluster(
            n_workers=0,
            host=host,
            scheduler_port=port,
            processes=True,
            dashboard_address=None,
            # Dask listens there in any case, by default at a port that another scheduler may have.
            scheduler_kwargs={"dashboard_address": f"{host}:0"},
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError) as error:
        raise InvalidArgumentError(
            f"`KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` must name a free port of this machine. Received: "
            f"{host}:{port}. Choose another port, or end the search that uses it."
        ) from error


def _client(address: Any) -> Client:
    try:
        return Client(address, set_as_default=False, timeout=_CLOSE_SECONDS)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise InvalidArgumentError(
            f"`cluster` must be the address of a running Dask scheduler, or a `distributed.Client`. Received: "
            f"{address!r}. Start one with `dask scheduler`, or check the address."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what Dask logs of connections that break: the search says it in its own words."""
    # Dask gives some of its loggers a level of their own, so that of "distributed" does not hold for them.
    names = [name for name in list(logging.root.manager.loggerDict) if name.split(".")[0] in ("distributed", "tornado")]
    loggers = [logging.getLogger(name) for name in (*names, "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class LocalWorkers:
    """Worker processes on this machine, each of which is started again when it ends.

    Args:
        address: Address of the scheduler.
        count: Number of workers.
        logs: Folder for one log file per worker.
    """

    def __init__(self, address: str, count: int, logs: Path) -> None:
        self.count, self.logs = count, logs
        self._address = address
        self._gpus = _gpus()
        self._scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        logs.mkdir(parents=True, exist_ok=True)
        self._processes = [self._start(number) for number in range(count)]

    def restart(self, *, joined: bool) -> None:
        """Starts workers again that have ended.

        Raises:
            SearchError: One fails before any has `joined` the scheduler.
        """
        for number, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            if process.returncode > 0 and not joined:
                printed = self._log(number).read_text(encoding="utf-8", errors="replace").split("\n")
                raise SearchError(
                    f"A worker cannot start: it ended with exit code {process.returncode} ({self._log(number)}): "
                    f"{next(filter(None, reversed(printed)), 'nothing printed')}"
                )
            self._processes[number] = self._start(number)

    def close(self) -> None:
        """Ends the workers."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._scratch.cleanup()

    def environment(self, number: int) -> dict[str, str]:
        """The variables of a worker: with GPUs it sees one of them, else it has its part of the processors."""
        if self._gpus:
            # This process builds models too, and must leave the workers their memory.
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
            return {"CUDA_VISIBLE_DEVICES": self._gpus[number % len(self._gpus)]}
        threads = str(max(1, processor_count() // self.count))
        variables = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if tf.config.list_physical_devices("GPU") else {}
        return {**hidden, **{name: os.environ.get(name, threads) for name in variables}}

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = f"from {__name__} import main; main()"
        with self._log(number).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", command, self._address],
                env={**os.environ, **self.environment(number), "TMPDIR": self._scratch.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach only this process, which then ends the workers.
                start_new_session=True,
            )

    def _log(self, number: int) -> Path:
        return self.logs / f"worker{number}.log"


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = tf.config.list_physical_devices("GPU")
    names = [str(number) for number in range(len(known))] if shown is None else shown.split(",")
    visible = tf.config.get_visible_devices("GPU")
    return [name for name, device in zip(names, known, strict=False) if device in visible]


def exit_plugins() -> list[Any]:
    """Plugins by which `dask worker`, with or without a nanny, ends by SIGTERM, not with 0, if its scheduler has gone.

    They are sent by value, since a worker of another program need not have keras_lr.
    """
    seconds = _CLOSE_SECONDS

    class Exit:
        idempotent = True

        async def teardown(self, **servers: Any) -> None:
            (server,) = servers.values()
            # A nanny in another thread belongs to a `LocalCluster`, which ends with its own program.
            if hasattr(server, "was_sent_home") or threading.current_thread() is not threading.main_thread():
                return
            try:
                await asyncio.wait_for(server.scheduler.identity(), seconds)
            except (OSError, TimeoutError):
                # Without the handler by which Dask ends with 0, and without waiting for a run in training.
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTERM)

    kinds = {"keras_lr_worker": WorkerPlugin, "keras_lr_nanny": NannyPlugin}
    return [type(name, (Exit, kind), {"name": name})() for name, kind in kinds.items()]


def main() -> None:
    """What a local worker runs: it ends as soon as its scheduler does."""
    try:
        run_worker(sys.argv[1], connect_seconds=_START_SECONDS, reconnect_seconds=0.0)
    except SearchError as error:
        print(error, flush=True)
        # A run that is still in training must not hold the process.
        os.kill(os.getpid(), signal.SIGTERM)


def run_worker(address: str, *, connect_seconds: float, reconnect_seconds: float = RECONNECT_SECONDS) -> None:
    """Trains what a scheduler sends until it ends.

    Raises:
        SearchError: The scheduler cannot be reached, or has gone without ending this worker, and cannot be found again.
    """
    with _quiet(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if not asyncio.run(_work(address, folder, connect_seconds, reconnect_seconds)):
            raise SearchError(f"The scheduler at {address} does not answer, so this worker ends. Start both again.")


async def _work(address: str, folder: str, connect_seconds: float, reconnect_seconds: float) -> bool:
    """Whether the scheduler has sent the worker home."""
    seconds = connect_seconds
    while seconds > 0:
        worker = _Worker(
            address, nthreads=1, memory_limit=0, local_directory=folder, death_timeout=seconds, dashboard=False
        )
        try:
            await worker
        except (OSError, TimeoutError, RuntimeError):
            return False
        await worker.finished()
        if worker.was_sent_home:
            return True
        seconds = reconnect_seconds
    return False


class _Worker(Worker):
    """A worker that knows why it ends, and does not wait for a run in training."""

    was_sent_home = False

    async def close(  # type: ignore[override]
        self,
        timeout: float = 30,
        executor_wait: bool = True,
        nanny: bool = True,
        reason: str = "worker-close",
    ) -> str | None:
        """Closes the worker at once."""
        self.was_sent_home |= reason.startswith("scheduler-close")
        answer: str | None = await super().close(timeout, False, nanny, reason)
        return answer
