"""Searches on a Dask cluster of real processes, some of which are killed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import psutil
import pytest
import tensorflow as tf
from distributed import Client

from keras_lr.errors import InvalidArgumentError, SearchError
from keras_lr.results._search_records import SearchFolder, read_journals
from keras_lr.search import LogGridSearch, RaceSearch
from keras_lr.search._distributed import dask_pool
from keras_lr.search._distributed.dask_pool import LocalWorkers
from keras_lr.search._recorder import Recorder
from tests.fresh_process import leave_pipelines_unoptimized, leave_stacks_out, processes
from tests.search.small_search import classifier, iris, run_small, small_search

pytestmark = pytest.mark.slow


def work(address: str) -> None:
    """What a worker of this module runs, in a process that has imported TensorFlow already."""
    sys.argv = ["worker", address]
    leave_stacks_out()
    leave_pipelines_unoptimized()
    dask_pool.main()


def schedule(port: int) -> None:
    """What a scheduler runs in a process of its own."""
    with dask_pool.start_scheduler("127.0.0.1", port):
        threading.Event().wait()


def started(target: Any, argument: Any) -> Any:
    """A running process."""
    process = processes.Process(target=target, args=(argument,))
    process.start()
    return process


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """A client of two workers in processes of their own, each of which is started again when it ends."""
    with (
        dask_pool.start_scheduler("127.0.0.1", 0) as scheduler,
        Client(scheduler.scheduler_address, set_as_default=False) as client,
    ):
        workers = [started(work, scheduler.scheduler_address) for _ in range(2)]
        ended = threading.Event()

        def restart() -> None:
            while not ended.wait(0.1):
                for number, process in enumerate(workers):
                    if not process.is_alive():
                        workers[number] = started(work, scheduler.scheduler_address)

        thread = threading.Thread(target=restart)
        thread.start()
        client.wait_for_workers(2, timeout=120)
        yield client
        ended.set()
        thread.join()
        for process in workers:
            process.kill()
            process.join()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> LogGridSearch:
    """A search in this process, run by run."""
    tuner = small_search(classifier(), tmp_path_factory.mktemp("alone"), engine="function")
    run_small(tuner)
    return tuner


def test_a_local_worker_that_was_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path / "waits", "exec sleep 100"))
    others = set(psutil.Process().children())
    with contextlib.closing(LocalWorkers("tcp://127.0.0.1:1", 1, tmp_path / "logs")) as workers:
        (first,) = set(psutil.Process().children()) - others
        first.kill()
        while first in psutil.Process().children():
            workers.restart(joined=False)
        (second,) = set(psutil.Process().children()) - others
    assert not second.is_running()


def test_a_local_worker_that_cannot_start_is_named_with_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path / "fails", "echo no memory; exit 3"))
    with (
        contextlib.closing(LocalWorkers("tcp://127.0.0.1:1", 1, tmp_path / "logs")) as workers,
        pytest.raises(SearchError, match=r"it ended with exit code 3 \(.*worker0.log\): no memory"),
    ):
        restart_often(workers)


def restart_often(workers: LocalWorkers) -> None:
    """Gives a worker that fails time to do so, again and again."""
    for _ in range(1000):
        workers.restart(joined=False)
        time.sleep(0.01)


def program(path: Path, line: str) -> str:
    """An executable that runs a line of shell."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o700)
    return str(path)


class Kill(keras.callbacks.Callback):
    """Kills its own process with SIGKILL after an epoch at a high rate, at most `times` times."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__()
        self.folder, self.times = folder, times

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if float(self.model.optimizer.learning_rate) > 5e-3 and len(list(self.folder.glob("killed-*"))) < self.times:
            (self.folder / f"killed-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class OwnFit(keras_tuner.HyperModel):
    """A hypermodel whose `fit` names a hyperparameter, and returns the objective."""

    def build(self, hp: Any) -> keras.Model:
        return classifier()()

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        hp.Fixed("named_in_fit", 7)
        return model.fit(*args, **kwargs)


def keys(directory: Path) -> list[tuple[Any, ...]]:
    """The key of each recorded row."""
    _, lines = read_journals(SearchFolder(directory / "lr").records)
    names = ("learning_rate", "repeat", "batch_size", "epoch")
    return [tuple(line[name] for name in names) for line in lines if "event" not in line]


@pytest.mark.parametrize("engine", ["stacked", "function"])
def test_a_cluster_finds_the_numbers_of_one_process(
    cluster: Client, alone: LogGridSearch, tmp_path: Path, engine: Any
) -> None:
    if engine == "stacked":
        alone = small_search(classifier(), tmp_path / "alone", engine=engine)
        run_small(alone)
    spread = small_search(classifier(), tmp_path / "spread", engine=engine)
    pd.testing.assert_frame_equal(run_small(spread, cluster=cluster), alone.to_frame(), rtol=1e-5)
    one, other = alone.get_best_models()[0], spread.get_best_models()[0]
    for first, second in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-4, atol=1e-6)
    result = spread.sensitivity()
    assert (result.engine, result.engine_reason) == (alone.sensitivity().engine, alone.sensitivity().engine_reason)
    assert (result.environment["workers"], result.environment["shares_trained_again"]) == (2, 0)
    before = keys(tmp_path / "spread")
    run_small(small_search(classifier(), tmp_path / "spread", engine=engine), cluster=cluster)
    assert keys(tmp_path / "spread") == before


def test_a_hypermodel_s_own_fit_is_called_and_its_hyperparameters_come_back(cluster: Client, tmp_path: Path) -> None:
    alone, spread = (small_search(OwnFit(), tmp_path / name, repeats=1) for name in ("alone", "spread"))
    pd.testing.assert_frame_equal(run_small(spread, cluster=cluster), run_small(alone), rtol=1e-5)
    assert spread.get_best_hyperparameters()[0].get("named_in_fit") == 7


def test_a_search_that_grows_and_prunes_ends_on_a_cluster(cluster: Client, tmp_path: Path) -> None:
    tuner = small_search(
        classifier(keras.optimizers.SGD),
        tmp_path,
        learning_rates=[1e-5, 1e-4],
        extend=True,
        pruning=True,
        engine="function",
    )
    frame = run_small(tuner, cluster=cluster, epochs=4)
    assert sorted(frame["learning_rate"].unique()) == [1e-5, 1e-4, 1e-3, 1e-2]
    assert len(keys(tmp_path)) == len(set(keys(tmp_path))) == len(frame)


def test_a_race_on_a_cluster_is_that_of_one_process(cluster: Client, tmp_path: Path) -> None:
    tables = []
    for name, place in {"alone": {}, "spread": {"cluster": cluster}}.items():
        race = RaceSearch(classifier(), learning_rates=[1e-3, 1e-2, 0.1, 1.0], directory=tmp_path / name)
        run_small(race, epochs=3, **place)
        tables.append(race.sensitivity())
    pd.testing.assert_frame_equal(tables[0].frame, tables[1].frame, rtol=1e-5)
    assert (tables[1].race, tables[1].environment["workers"]) == (tables[0].race, 2)


def test_the_share_of_a_killed_worker_is_trained_again(cluster: Client, alone: LogGridSearch, tmp_path: Path) -> None:
    tuner = small_search(classifier(), tmp_path, engine="reuse")
    frame = run_small(tuner, cluster=cluster, callbacks=[Kill(tmp_path, 1)])
    pd.testing.assert_frame_equal(frame, alone.to_frame(), rtol=1e-5)
    assert len(keys(tmp_path)) == len(set(keys(tmp_path))) == len(frame)
    assert tuner.sensitivity().environment["shares_trained_again"] == 1


def test_runs_that_end_each_worker_fail_and_the_others_go_on(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "MAX_DEATHS", 2)
    tuner = small_search(classifier(), tmp_path, repeats=1)
    frame = run_small(tuner, cluster=cluster, callbacks=[Kill(tmp_path, 1000)])
    assert len(list(tmp_path.glob("killed-*"))) == 2
    assert frame.groupby("learning_rate")["status"].last().to_dict() == {1e-3: "ok", 1e-2: "failed"}
    _, lines = read_journals(SearchFolder(tmp_path / "lr").records)
    (failed,) = [line for line in lines if line.get("status") == "failed"]
    assert "2 workers ended while they trained" in failed["message"]


class Raise(keras.callbacks.Callback):
    """Raises at a high rate."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if float(self.model.optimizer.learning_rate) > 5e-3:
            raise ValueError("too high")


def test_an_exception_in_training_fails_its_run_as_in_one_process(cluster: Client, tmp_path: Path) -> None:
    found = []
    for name, place in {"alone": {}, "spread": {"cluster": cluster}}.items():
        run_small(small_search(classifier(), tmp_path / name, repeats=1), callbacks=[Raise()], **place)
        lines = read_journals(SearchFolder(tmp_path / name / "lr").records)[1]
        found.append(sorted((line["repeat"], line["message"]) for line in lines if line.get("status") == "failed"))
    assert found[0] == found[1] == [(0, "ValueError: too high")]


def test_an_interrupted_search_keeps_its_records_and_frees_the_workers(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = small_search(classifier(), tmp_path, engine="function")
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "adopt", adopt_then(interrupt, 1))
        with pytest.raises(KeyboardInterrupt):
            run_small(tuner, cluster=cluster)
    before = keys(tmp_path)
    assert before
    frame = run_small(small_search(classifier(), tmp_path, engine="function"), cluster=cluster)
    assert keys(tmp_path)[: len(before)] == before
    assert len(keys(tmp_path)) == len(set(keys(tmp_path))) == len(frame) == 2 * 2 * 2


def adopt_then(action: Callable[[], Any], count: int) -> Any:
    """`Recorder.adopt`, which calls `action` once it has been called `count` times."""
    adopt, calls = Recorder.adopt, []

    def adopt_and_act(self: Any, recorded: Any) -> None:
        adopt(self, recorded)
        calls.append(recorded)
        if len(calls) == count:
            action()

    return adopt_and_act


def interrupt() -> None:
    """Does as Ctrl-C does."""
    raise KeyboardInterrupt


def test_a_resource_that_no_worker_declares_is_named(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dask_pool, "NOTICE_SECONDS", 0.0)
    with pytest.raises(SearchError, match=r"0 of 2 workers declare GPU=1 within 0\.3 s"):
        run_small(small_search(classifier(), tmp_path), cluster=cluster, resources={"GPU": 1}, wait=0.3, verbose=1)
    assert "0 of 2 workers declare GPU=1 yet. Waiting up to 0.3 s." in capfd.readouterr().err


def test_a_worker_with_another_version_is_refused_before_any_training(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "versions", lambda: {"TensorFlow": "1.0"})
    with pytest.raises(SearchError, match=rf"cannot train: it has TensorFlow {tf.__version__} instead of 1\.0"):
        run_small(small_search(classifier(), tmp_path), cluster=cluster)
    assert not (tmp_path / "lr" / "records").exists() or not keys(tmp_path)


def test_what_cannot_be_pickled_is_refused_by_name(tmp_path: Path) -> None:
    lock = threading.Lock()

    def build() -> keras.Model:
        with lock:
            return classifier()()

    with pytest.raises(InvalidArgumentError, match="`hypermodel` must be picklable"):
        run_small(small_search(build, tmp_path), workers=1)
    x, y, _ = iris()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    with pytest.raises(InvalidArgumentError, match=r"`x` must be picklable.* Pass arrays or a PyDataset"):
        small_search(classifier(), tmp_path, objective="loss").search(data, workers=1, verbose=0)


def test_a_tuner_whose_own_methods_would_not_be_called_is_refused(tmp_path: Path) -> None:
    class Own(LogGridSearch):
        def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
            pass

    with pytest.raises(InvalidArgumentError, match="where `on_epoch_end` of Own is not called"):
        run_small(Own(classifier(), learning_rates=[1e-3], directory=tmp_path), workers=1)


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_pool, "_CLOSE_SECONDS", 0.5)
    with pytest.raises(InvalidArgumentError, match="`cluster` must be the address of a running Dask scheduler"):
        run_small(small_search(classifier(), tmp_path), cluster="tcp://127.0.0.1:1")


@pytest.mark.filterwarnings("error:Port 8787")
def test_another_scheduler_on_the_machine_does_not_matter() -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):
            taken.bind(("", 8787))
            taken.listen()
        dask_pool.start_scheduler("127.0.0.1", 0).close()


def test_the_death_of_the_scheduler_ends_the_search_and_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler, worker, logged = started(schedule, port), started(work, address), MemoryHandler(100)
    try:
        monkeypatch.setattr(Recorder, "adopt", adopt_then(lambda: (scheduler.kill(), scheduler.join()), 2))
        logging.getLogger("distributed.client").addHandler(logged)
        with pytest.raises(SearchError, match=f"The scheduler at {address} has gone. What was recorded is kept."):
            run_small(small_search(classifier(), tmp_path, engine="function"), cluster=wait_for(address))
        worker.join(30)
        assert worker.exitcode == -signal.SIGTERM
        assert logged.buffer == []
    finally:
        monkeypatch.undo()
        logging.getLogger("distributed.client").removeHandler(logged)
        for process in (scheduler, worker):
            process.kill()
            process.join()
    before = keys(tmp_path)
    assert len(before) == 2 * 2
    run_small(small_search(classifier(), tmp_path, engine="function"))
    assert keys(tmp_path)[: len(before)] == before
    assert len(keys(tmp_path)) == len(set(keys(tmp_path))) == 2 * 2 * 2


def test_workers_that_dask_started_end_with_an_error_once_their_scheduler_is_dead(tmp_path: Path) -> None:
    port = free_port()
    scheduler = started(schedule, port)
    address = wait_for(f"tcp://127.0.0.1:{port}")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    workers = [
        subprocess.Popen([*command, kind], cwd=tmp_path, stderr=subprocess.DEVNULL)
        for kind in ("--nanny", "--no-nanny")
    ]
    try:
        with Client(address, set_as_default=False) as client:
            for plugin in dask_pool.exit_plugins():
                client.register_plugin(plugin)
            client.wait_for_workers(2, timeout=120)
            scheduler.kill()
            assert [worker.wait(60) for worker in workers] == [-signal.SIGTERM] * 2
    finally:
        for process in (scheduler, *workers):
            process.kill()


def wait_for(address: str) -> str:
    """The address, once its scheduler answers."""
    Client(address, set_as_default=False, timeout=60).close()
    return address


def free_port() -> int:
    """An unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
