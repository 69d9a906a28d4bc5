"""Roles, claims, and the chief's service over real gRPC, without any training."""

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass

import pytest
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_client import OracleClient

from keras_lr.errors import InvalidArgumentError, StorageError
from keras_lr.search._distributed import worker
from keras_lr.search._distributed.chief import serve
from keras_lr.search._distributed.local import LOOPBACK, chief_address, free_port
from keras_lr.search._distributed.worker import (
    ChiefClient,
    ChiefGoneError,
    claim_size,
    connect_to_chief,
    heartbeat_id,
    heartbeats,
    is_heartbeat,
    owner_of,
    role,
    stale_seconds,
)
from keras_lr.search._oracle import LogGridOracle
from keras_lr.search._runs import Point

POINTS = [Point(1e-3, 32), Point(1e-2, 32), Point(1e-1, 32)]


@dataclass
class WorkerPool:
    """Workers of the chief's own, whose end the test decides."""

    names: frozenset[str]
    departed: frozenset[str] = frozenset()


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID", "KERAS_LR_WORKERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def place(monkeypatch):
    """Variables of a search on a free port."""
    for name, value in chief_address(free_port()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")


class Search:
    """An oracle over three points with a chief in a thread; `done` stands for the records."""

    def __init__(self, pool=None):
        self.oracle = LogGridOracle("val_loss", POINTS, with_batch_size=False)
        self.done = {}
        self.oracle.read_scores = lambda: self.done
        self.pool = pool
        self.result = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            self.result = serve(self.oracle, self.pool)
        except StorageError as err:
            self.result = err

    def join(self):
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.result

    def finish(self, trial):
        self.done[Point(trial.hyperparameters.values["learning_rate"], 32)] = {"val_loss": 0.5}


def client():
    return OracleClient(LogGridOracle("val_loss", POINTS, with_batch_size=False))


def request(tuner_id):
    return protos.get_service().CreateTrialRequest(tuner_id=tuner_id)


def rate(trial):
    return trial.hyperparameters.values.get("learning_rate")


@pytest.mark.parametrize(("name", "part"), [("chief", "chief"), ("worker0", "worker"), ("gpu3", "worker")])
def test_roles(place, monkeypatch, name, part):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
    assert role() == part


def test_without_variables_a_process_is_alone(monkeypatch):
    assert role() == "alone"
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    assert role() == "alone"


def test_half_of_the_variables_is_refused(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", LOOPBACK)
    with pytest.raises(InvalidArgumentError, match="Set all three variables, or none"):
        role()


@pytest.mark.parametrize(
    ("workers", "points", "share"), [("2", 6, 3), ("2", 5, 3), ("4", 3, 1), ("1", 6, 6), ("2", 200, 32), ("2", 0, 1)]
)
def test_a_share_is_even_and_bounded(monkeypatch, workers, points, share):
    monkeypatch.setenv("KERAS_LR_WORKERS", workers)
    assert claim_size(points) == share


@pytest.mark.parametrize("workers", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_workers_that_is_none_is_refused(monkeypatch, workers):
    monkeypatch.setenv("KERAS_LR_WORKERS", workers)
    with pytest.raises(InvalidArgumentError, match="`KERAS_LR_WORKERS` must be an integer >= 1, got "):
        claim_size(6)


def test_patience_is_a_minute_or_as_set(monkeypatch):
    assert stale_seconds() == 60
    monkeypatch.setenv("KERAS_LR_STALE_SECONDS", "300")
    assert stale_seconds() == 300
    monkeypatch.setenv("KERAS_LR_STALE_SECONDS", "1")
    with pytest.raises(InvalidArgumentError, match="`KERAS_LR_STALE_SECONDS` must be an integer >= 5, got 1"):
        stale_seconds()


def test_names_of_calls():
    assert (owner_of("worker0#3"), owner_of("worker0"), owner_of("a#b#1")) == ("worker0", "worker0", "a#b")
    assert is_heartbeat(heartbeat_id("worker0"))
    assert not is_heartbeat("worker0#3")


def test_each_point_is_given_once_and_the_chief_ends_with_the_grid(place):
    search, ask = Search(), client()
    with heartbeats(connected(), "worker0", pytest.fail):
        trials = [ask.create_trial(f"worker0#{number}") for number in range(3)]
        assert [rate(trial) for trial in trials] == [1e-3, 1e-2, 1e-1]
        assert ask.create_trial("worker1#0").status == "IDLE"
        for trial in trials:
            ask.update_trial(trial.trial_id, {"val_loss": 0.5})
            search.finish(trial)
            trial.status = "COMPLETED"
            ask.end_trial(trial)
        assert {ask.create_trial(name).status for name in ("worker0#0", "worker1#0")} == {"STOPPED"}
    assert search.join() is True


def test_the_chief_ends_although_a_worker_died_between_its_last_line_and_its_last_call(place, monkeypatch):
    monkeypatch.setattr("keras_lr.search._distributed.chief.READ_SECONDS", 0.1)
    monkeypatch.setattr("keras_lr.search._distributed.chief.SHUTDOWN_SECONDS", 0.1)
    search, ask = Search(), client()
    for number in range(3):
        search.finish(ask.create_trial(f"worker0#{number}"))
    assert search.join() is True


def test_records_that_cannot_be_read_end_the_chief_and_its_workers(place, monkeypatch):
    monkeypatch.setattr("keras_lr.search._distributed.chief.READ_SECONDS", 1000)
    search, ask = Search(), client()
    ask.create_trial("worker0#0")
    worker.wait_idle()

    def fail():
        raise StorageError("no space left")

    search.oracle.read_scores = fail
    assert ask.create_trial("worker0#1").status == "STOPPED"
    assert isinstance(search.join(), StorageError)


def test_points_of_a_worker_that_ended_go_to_another(place):
    pool = WorkerPool(frozenset({"worker0", "worker1"}))
    search, ask = Search(pool), client()
    assert [rate(ask.create_trial(f"worker0#{number}")) for number in range(3)] == [1e-3, 1e-2, 1e-1]
    pool.departed = frozenset({"worker0"})
    trial = ask.create_trial("worker1#0")
    while trial.status == "IDLE":
        worker.wait_idle()
        trial = ask.create_trial("worker1#0")
    assert rate(trial) == 1e-3
    pool.departed = pool.names
    assert search.join() is False


def test_a_silent_worker_loses_its_points(place, monkeypatch):
    monkeypatch.setattr("keras_lr.search._distributed.chief.stale_seconds", lambda: 0.2)
    search, ask = Search(WorkerPool(frozenset({"worker0", "worker1"}))), client()
    late = ask.create_trial("worker0#0")
    for number in range(2):
        ask.create_trial(f"worker1#{number}")
    worker.wait_idle()
    assert rate(ask.create_trial("worker2#0")) == rate(late) == 1e-3
    ask.update_trial(late.trial_id, {"val_loss": 0.1})
    search.pool.departed = search.pool.names
    search.join()


def test_what_a_late_worker_reports_of_points_it_lost_changes_nothing():
    oracle = LogGridOracle("val_loss", POINTS, with_batch_size=False)
    late = oracle.create_trial("worker0#0")
    oracle.release("worker0")
    oracle.update_trial(late.trial_id, {"val_loss": 0.0})
    late.status = "COMPLETED"
    oracle.end_trial(late)
    assert oracle.get_best_trials() == []
    assert rate(oracle.create_trial("worker1#0")) == rate(late)


def test_a_second_chief_at_the_same_place_is_refused(place):
    search = Search(WorkerPool(frozenset({"worker0"})))
    client().create_trial("worker0#0")
    with pytest.raises(InvalidArgumentError, match="must name a free port of this machine"):
        serve(search.oracle)
    search.pool.departed = search.pool.names
    search.join()


def test_a_port_that_another_program_uses_is_refused(place, monkeypatch):
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(other.getsockname()[1]))
        with pytest.raises(InvalidArgumentError, match="must name a free port of this machine"):
            serve(LogGridOracle("val_loss", POINTS, with_batch_size=False))


def connected(tuner_id="worker0"):
    """A client of the chief, which is there."""
    found = connect_to_chief(tuner_id, is_over=lambda: False, notify=print)
    assert found is not None
    return found


@pytest.fixture
def impatient(monkeypatch):
    """A worker that does not miss its chief for long."""
    monkeypatch.setattr(worker, "GONE_SECONDS", 0.5)
    monkeypatch.setattr(worker, "MIN_TIMEOUT_SECONDS", 0.2)


def test_a_worker_without_a_chief_says_what_it_waits_for_and_fails_in_the_end(place, monkeypatch):
    monkeypatch.setattr(worker, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.1)
    said = []
    with pytest.raises(ChiefGoneError, match=r"The chief has not answered at 127\.0\.0\.1:\d+ for 0\.3 s"):
        connect_to_chief("worker0", is_over=lambda: False, notify=said.append)
    (line,) = said
    assert line.startswith("Waiting up to 0.3 s for the chief to start at 127.0.0.1:")


def test_a_worker_without_a_chief_ends_once_others_have_recorded_the_rest(place, monkeypatch):
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.1)
    looks, said = iter([False, False, True]), []
    assert connect_to_chief("worker0", is_over=lambda: next(looks), notify=said.append) is None
    assert len(said) == 2
    assert "nothing is left to train" in said[1]


def test_a_chief_that_starts_late_is_looked_for_twice_a_second(place):
    """gRPC of itself would try within two seconds once, and once more after one."""
    with socket.socket() as other:
        other.bind((LOOPBACK, int(os.environ["KERASTUNER_ORACLE_PORT"])))
        other.listen()
        other.settimeout(5)
        tries = []

        def refuse():
            with contextlib.suppress(OSError):
                while True:
                    tries.append(other.accept()[0].close())

        thread = threading.Thread(target=refuse)
        thread.start()
        assert not ChiefClient().connect(None, seconds=2)
        other.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len(tries) >= 3


def test_a_client_has_every_call_of_keras_tuner_s_service(place):
    """KerasTuner's own client calls them on it."""
    calls = vars(OracleClient(None).stub)
    assert set(calls) >= {"CreateTrial", "UpdateTrial", "EndTrial"}
    assert all(callable(getattr(ChiefClient(), name)) for name in calls)


def test_a_worker_ends_quietly_once_its_chief_has_gone(place, impatient):
    search, chief = Search(WorkerPool(frozenset({"worker0"}))), connected()
    reached, said = [], []
    with heartbeats(chief, "worker0", said.append):
        search.pool.departed = search.pool.names
        search.join()
        reached.append("before")
        chief.CreateTrial(request("worker0#0"))
        reached.append("after")
    assert reached == ["before"]
    assert said == [
        f"The chief at {chief.address} has gone, so this worker ends. The same commands continue from the records."
    ]


def test_training_learns_from_the_heartbeats_that_the_chief_has_gone(place, impatient, monkeypatch):
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.1)
    search, chief = Search(WorkerPool(frozenset({"worker0"}))), connected()
    epochs = []
    with heartbeats(chief, "worker0", lambda said: None):
        search.pool.departed = search.pool.names
        search.join()
        chief.check_alive()
        while len(epochs) < 1000:
            time.sleep(0.01)
            epochs.append("trained")
            chief.check_alive()
    assert 0 < len(epochs) < 1000


def test_a_chief_that_is_started_again_in_time_is_not_missed(place):
    pool = WorkerPool(frozenset({"worker0"}))
    search, chief = Search(pool), connected()
    pool.departed = pool.names
    search.join()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(chief.CreateTrial(request("worker0#0"))))
    thread.start()
    worker.wait_idle()
    pool.departed = frozenset()
    again = Search(pool)
    thread.join(15)
    assert [answer.trial.trial_id for answer in answers] == ["lr0.001"]
    pool.departed = pool.names
    again.join()
