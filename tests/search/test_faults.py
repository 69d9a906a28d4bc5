"""What a search survives: kill -9, a cut line, a full disk, a read-only folder, another search's records."""

import json
import os
import shutil
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from keras_lr.errors import ResultFormatError, SearchError, StorageError
from keras_lr.search._distributed.local import free_port
from tests.search.distributed.test_local import is_running
from tests.search.fault_search import (
    RATES,
    ROWS,
    end_all,
    finish_search,
    hold_local_worker,
    kill_when,
    lines,
    processes,
    recorded_bytes,
    said,
    search,
    start_cluster,
    start_late_worker,
    start_search,
    table,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """For each engine, the folder of a search that nothing interrupted."""
    folders = {engine: tmp_path_factory.mktemp(engine) for engine in ("stacked", "function")}
    for engine, folder in folders.items():
        assert len(finish_search(folder, engine=engine)) == ROWS
    return folders


@pytest.fixture
def project(unbroken, tmp_path):
    """A folder with a finished search."""
    return shutil.copytree(unbroken["stacked"], tmp_path / "copy")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB; `change` remounts it with other options."""

    def mount(options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path], check=False, capture_output=True
        )

    if os.name != "posix" or os.geteuid() != 0 or mount("size=64k").returncode:
        pytest.skip("mounting a small disk needs root")
    yield tmp_path, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", tmp_path], check=True)


def assert_whole(directory, unbroken_directory):
    written = lines(directory)
    assert len(written) == len(set(written)) == ROWS
    frame, unbroken_frame = table(directory), table(unbroken_directory)
    pd.testing.assert_frame_equal(frame[["seed", "status"]], unbroken_frame[["seed", "status"]])
    numbers = ["loss", "val_loss", "accuracy", "val_accuracy"]
    np.testing.assert_allclose(frame[numbers], unbroken_frame[numbers], rtol=1e-4)


@pytest.mark.parametrize(("engine", "moment"), [("stacked", 0.4), ("function", 0.0), ("function", 0.7)])
def test_a_killed_search_goes_on_as_if_nothing_had_been(unbroken, engine, moment, tmp_path):
    whole = recorded_bytes(unbroken[engine])
    process = start_search(tmp_path, engine=engine, waits={"most_bytes": 0.9 * whole})
    assert kill_when(process, tmp_path, recorded=moment, whole=whole)
    finish_search(tmp_path, engine=engine)
    assert_whole(tmp_path, unbroken[engine])


@pytest.mark.parametrize(("victim", "moment"), [("chief", 0.2), ("worker0", 0.4)])
def test_a_killed_process_of_three(unbroken, victim, moment, tmp_path):
    """A worker's points are reassigned to the other; after the chief's end, the same commands resume."""
    port, whole = free_port(), recorded_bytes(unbroken["function"])
    cluster = start_cluster(tmp_path, port, loses_chief=victim == "chief", engine="function")
    kill_when(cluster[victim], tmp_path, recorded=moment, whole=whole)
    if victim == "chief":
        end_all(cluster)
        assert cluster["worker0"].exitcode == cluster["worker1"].exitcode == 0
        cluster = start_cluster(tmp_path, port, engine="function")
    end_all(cluster)
    assert cluster["chief"].exitcode == 0
    assert_whole(tmp_path, unbroken["function"])


def test_workers_in_the_middle_of_a_long_share_end_soon_after_their_chief_is_killed(tmp_path):
    cluster = start_cluster(tmp_path, free_port(), loses_chief=True, engine="function", epochs=1_000_000)
    workers = [cluster["worker0"], cluster["worker1"]]
    while all(worker.is_alive() for worker in workers) and len({line[0] for line in lines(tmp_path)}) < 2:
        time.sleep(0.1)
    cluster["chief"].kill()
    for worker in workers:
        worker.join(60)
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()
    assert codes == [0, 0]
    for name in ("worker0", "worker1"):
        (line,) = said(tmp_path, name)[-1:]
        assert "has gone, so this worker ends" in line
    written = lines(tmp_path)
    assert len(written) == len(set(written))


def test_a_local_worker_does_not_outlive_a_killed_chief(tmp_path):
    pid = processes.Value("i", 0)
    chief = processes.Process(target=hold_local_worker, args=(tmp_path, pid))
    chief.start()
    while not any(path.read_text().endswith("on\n") for path in tmp_path.glob("*.log")):
        time.sleep(0.05)
    assert is_running(pid.value)
    chief.kill()
    chief.join()
    deadline = time.monotonic() + 20
    while is_running(pid.value) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid.value)


def test_a_worker_that_comes_after_the_end_of_the_search_ends_quietly(project, unbroken):
    port = free_port()
    worker = start_late_worker(project, port)
    worker.join(60)
    assert worker.exitcode == 0
    assert said(project, "late") == [
        f"keras_lr: No chief answers at 127.0.0.1:{port}, but the records are complete: nothing is left to train."
    ]
    assert_whole(project, unbroken["stacked"])


def test_a_worker_waits_for_a_chief_that_may_yet_start_and_then_fails(project):
    port = free_port()
    worker = start_late_worker(project, port, learning_rates=[*RATES, 3e-2])
    worker.join(60)
    assert worker.exitcode == 1
    waiting = f"Waiting up to 3 s for the chief to start at 127.0.0.1:{port}."
    assert said(project, "late") == [f"keras_lr: {waiting}"]
    assert f"The chief has not answered at 127.0.0.1:{port} for 3 s" in (project / "late.log").read_text()


@pytest.mark.parametrize("cut", [1, 1000])
def test_a_cut_last_line_is_written_again(project, unbroken, cut):
    path = project / "lr" / "records" / "tuner0.jsonl"
    os.truncate(path, path.stat().st_size - cut)
    search(project)
    assert_whole(project, unbroken["stacked"])


def test_a_full_disk_is_told_and_loses_nothing(small_disk):
    directory, change = small_disk
    (directory / "ballast").write_bytes(bytes(52 * 1024))
    with pytest.raises(StorageError, match="`directory` must be writable and have space left"):
        search(directory)
    kept = lines(directory)
    assert len(kept) < ROWS
    change("size=4m")
    search(directory)
    written = lines(directory)
    assert len(written) == len(set(written)) == ROWS
    assert written[: len(kept)] == kept


def test_a_read_only_folder_is_told_before_any_training(small_disk):
    directory, change = small_disk
    change("ro")
    with pytest.raises(StorageError, match="Read-only file system"):
        search(directory)


def test_a_wider_grid_goes_on_in_the_same_project(project):
    before = lines(project)
    search(project, learning_rates=[*RATES, 3e-2])
    after = lines(project)
    assert after[:ROWS] == before
    assert len(after) == len(set(after)) == ROWS * 4 // 3


def test_records_of_another_search_are_left_alone(project):
    path = project / "lr" / "records" / "tuner0.jsonl"
    before = path.read_bytes()
    with pytest.raises(SearchError, match="holds the records of another search: `seed` differs"):
        search(project, seed=7)
    assert path.read_bytes() == before


def test_records_of_a_newer_version_are_left_alone(project):
    path = project / "lr" / "records" / "tuner0.jsonl"
    header, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(header) | {"schema_version": 99}), *rest, ""]))
    before = path.read_bytes()
    with pytest.raises(ResultFormatError, match="has schema version 99"):
        search(project)
    assert path.read_bytes() == before
