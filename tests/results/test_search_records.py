"""The records of a search on disk: whole lines, whatever happens."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_lr.errors import ResultFormatError, SearchError, StorageError
from keras_lr.results._search_records import Journal, Run, Table, read_journals

LINES = [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.25}]


def journal(directory: Path, name: str = "a") -> Journal:
    return Journal(directory / f"{name}.jsonl", {"project": {"seed": 0}})


def written(directory: Path) -> Path:
    one = journal(directory)
    one.append(LINES)
    one.close()
    return one.path


def test_lines_of_every_writer_come_back(tmp_path: Path) -> None:
    written(tmp_path)
    journal(tmp_path, "b").append([{"epoch": 2, "loss": 0.1}])
    headers, lines = read_journals(tmp_path)
    assert [header["project"] for header in headers] == [{"seed": 0}] * 2
    assert lines == [*LINES, {"epoch": 2, "loss": 0.1}]


def test_nothing_is_recorded_before_the_first_line(tmp_path: Path) -> None:
    journal(tmp_path / "none")
    assert read_journals(tmp_path / "none") == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    journal(tmp_path).append([{"loss": math.nan, "val_loss": -math.inf}])
    assert read_journals(tmp_path)[1] == [{"loss": None, "val_loss": None}]


def test_any_cut_leaves_whole_lines_and_a_file_to_go_on_with(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        kept = whole[:size].count(b"\n")
        assert len(read_journals(tmp_path)[1]) == max(kept - 1, 0)
        again = journal(tmp_path)
        again.append([{"epoch": 9}])
        again.close()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines[-1] == {"epoch": 9}
        assert len(lines) == max(kept, 1) + 1


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{broken", lines[2]]) + "\n")
    with pytest.raises(ResultFormatError, match=r"Line 2 of .*a\.jsonl is damaged"):
        read_journals(tmp_path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(ResultFormatError, match=r"has schema version 99; .* versions up to 1\. Update keras_lr"):
        read_journals(tmp_path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"some": "log"}\n')
    with pytest.raises(ResultFormatError, match=r"a\.jsonl .* its first line is not the header of a journal"):
        read_journals(tmp_path)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.append(LINES)
    with pytest.raises(SearchError, match="Only one process at a time may search a project"):
        journal(tmp_path).append(LINES)
    first.close()
    journal(tmp_path).append(LINES)


def test_a_killed_writer_keeps_what_it_wrote(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(tmp_path,))
    writer.start()
    writer.join()
    assert writer.exitcode == -9
    assert read_journals(tmp_path)[1] == LINES


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="`directory` must be writable and have space left"):
        journal(tmp_path / "file").append(LINES)


def test_a_full_disk_keeps_what_was_whole(small_disk: Path) -> None:
    one = journal(small_disk)
    one.append(LINES)
    with pytest.raises(StorageError, match="No space left on device"):
        one.append([{"text": "x" * 200_000}])
    one.append([{"epoch": 2}])
    assert read_journals(small_disk)[1] == [*LINES, {"epoch": 2}]


def row(epoch: int, loss: float, **more: object) -> dict[str, object]:
    key = {"learning_rate": 1e-3, "repeat": 0, "batch_size": 16, "epoch": epoch, "seed": 0}
    return {**key, "loss": loss, "val_loss": loss, "status": "ok", **more}


def event(name: str, **details: object) -> dict[str, object]:
    return {"event": name, "learning_rate": 1e-3, "repeat": 0, "batch_size": 16, **details}


def test_a_table_takes_in_what_is_new() -> None:
    table = Table([row(0, 0.5), row(1, 0.25)])
    engine, fault = {"event": "engine", "engine": "reuse"}, {"event": "data", "message": "NaN"}
    new = [row(1, 9.0), row(2, 0.75), engine, dict(engine), fault, dict(fault), event("chaotic"), event("chaotic")]
    assert [table.add(line) for line in new] == [False, True, True, False, True, False, True, False]
    assert table.frame()["loss"].tolist() == [0.5, 0.25, 0.75]
    assert table.frame()["chaotic"].tolist() == [True] * 3


def test_the_end_of_a_run_decides_whether_it_is_complete() -> None:
    run = Run(1e-3, 16, 0, 0)
    for last, epochs in (
        (event("ended", epochs=2, asked=4), 4),
        (event("pruned", epoch=1), 9),
        (row(2, 0.1, status="diverged"), 9),
    ):
        table = Table([row(0, 0.5), row(1, 0.25)])
        assert not table.complete(run, epochs)
        table.add(last)
        assert table.complete(run, epochs)


def test_what_was_returned_counts_instead_of_the_rows_unless_the_run_diverged() -> None:
    run = Run(1e-3, 16, 0, 0)
    table = Table([row(0, 0.5), row(1, 0.25)])
    assert (table.score(run, "loss", "min"), table.score(run, "loss", "max")) == (0.25, 0.5)
    table.add(event("returned", value=0.125))
    assert table.score(run, "loss", "min") == 0.125
    assert table.frame()["objective"].isna().tolist() == [True, False]
    table.add(row(2, math.nan, status="diverged"))
    assert (table.score(run, "loss", "min"), table.score(run, "loss", "max")) == (math.inf, -math.inf)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def _write_and_die(directory: Path) -> None:
    journal(directory).append(LINES)
    os.kill(os.getpid(), 9)
