"""What a search survives: kill -9, a full disk, a read-only folder, another search's records."""

import json
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
import psutil
import pytest

from keras_lr.errors import ResultFormatError, SearchError, StorageError
from tests.search.fault_search import (
    RATES,
    ROWS,
    finish_search,
    kill_when,
    lines,
    recorded_bytes,
    search,
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
    numbers = ["loss", "val_loss"]
    np.testing.assert_allclose(frame[numbers], unbroken_frame[numbers], rtol=1e-4)


@pytest.mark.parametrize(("engine", "moment"), [("stacked", 0.4), ("function", 0.0), ("function", 0.7)])
def test_a_killed_search_goes_on_as_if_nothing_had_been(unbroken, engine, moment, tmp_path):
    whole = recorded_bytes(unbroken[engine])
    process = start_search(tmp_path, engine=engine, most_bytes=0.9 * whole)
    assert kill_when(process, tmp_path, recorded=moment, whole=whole)
    finish_search(tmp_path, engine=engine)
    assert_whole(tmp_path, unbroken[engine])


def test_workers_end_with_a_killed_search_which_then_goes_on(unbroken, tmp_path):
    whole = recorded_bytes(unbroken["function"])
    process = start_search(tmp_path, engine="function", workers=1, most_bytes=0.4 * whole)
    while process.is_alive() and recorded_bytes(tmp_path) < 0.4 * whole:
        process.join(0.02)
    workers = psutil.Process(process.pid).children()
    process.kill()
    assert len(workers) == 1
    assert not psutil.wait_procs(workers, 120)[1]
    before = lines(tmp_path)
    finish_search(tmp_path, engine="function")
    assert_whole(tmp_path, unbroken["function"])
    assert lines(tmp_path)[: len(before)] == before


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
