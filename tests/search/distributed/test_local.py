"""Workers of this machine as real processes, which run small scripts in the place of a search."""

import os
import signal
import sys
import time

import pytest

from keras_lr.search._distributed import worker
from keras_lr.search._distributed.local import LocalWorkers, chief_address, free_port, worker_environment

SLEEP = "import time; time.sleep(600)"
PRINT = "import os; print(os.environ['KERASTUNER_TUNER_ID'], os.environ['KERASTUNER_ORACLE_PORT'], flush=True)"


def workers(tmp_path, script, *, count=2, gpus=()):
    return LocalWorkers([sys.executable, "-c", script], count=count, port=4242, logs=tmp_path / "logs", gpus=gpus)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(group):
    return [process.pid for process in group._processes.values()]


def test_each_worker_knows_its_name_and_its_chief(tmp_path):
    with workers(tmp_path, PRINT) as group:
        pass
    assert group.departed == group.names
    for name in group.names:
        assert group.log(name).read_text() == f"{name} 4242\n"
    assert group.failures() == ""


def test_workers_that_would_go_on_end_with_an_error_of_the_chief(tmp_path):
    group = workers(tmp_path, SLEEP)

    def fail():
        with group:
            assert all(map(is_running, pids(group)))
            raise RuntimeError("the chief failed")

    with pytest.raises(RuntimeError, match="the chief failed"):
        fail()
    assert not any(map(is_running, pids(group)))


def test_a_worker_that_ignores_the_request_to_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_lr.search._distributed.local.STOP_SECONDS", 0.3)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    with workers(tmp_path, stubborn, count=1) as group:
        (name,) = group.names
        while not group.log(name).read_text():
            time.sleep(0.02)
        running = pids(group)
    assert not any(map(is_running, running))


def test_a_failed_worker_is_told_with_its_last_lines(tmp_path):
    with workers(tmp_path, "raise SystemExit('working\\nout of memory')", count=1) as group:
        pass
    (name,) = group.names
    assert group.failures() == f"{name} ended with exit code 1 ({group.log(name)}): out of memory"


def test_workers_share_the_processors_or_have_a_gpu_each(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    group = workers(tmp_path, PRINT, count=4)
    assert worker_environment(group, "worker3", 3)["TF_NUM_INTRAOP_THREADS"] == "2"
    assert worker_environment(group, "worker3", 3)["KERAS_LR_WORKERS"] == "4"
    with_gpus = workers(tmp_path, PRINT, count=4, gpus=["2", "5"])
    devices = [worker_environment(with_gpus, f"worker{number}", number)["CUDA_VISIBLE_DEVICES"] for number in range(4)]
    assert devices == ["2", "5", "2", "5"]


def test_a_user_s_number_of_threads_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert worker_environment(workers(tmp_path, PRINT), "worker0", 0)["TF_NUM_INTRAOP_THREADS"] == "7"


def test_a_free_port_can_be_taken():
    assert 0 < free_port() < 65536


def test_a_local_worker_that_has_not_met_its_chief_does_not_outlive_it_either(monkeypatch):
    def end(pid, number):
        assert (pid, number) == (os.getpid(), signal.SIGTERM)
        raise SystemExit

    monkeypatch.setattr(os, "kill", end)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.1)
    for name, value in {**chief_address(free_port()), worker.CHIEF_VARIABLE: "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        worker.connect_to_chief("worker0", is_over=lambda: False, notify=print)
