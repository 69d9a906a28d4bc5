"""A file is written completely or not at all, and links, pipes and devices stay what they are."""

import errno
import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from keras_lr._utils.files import atomic_writer, is_writable, write_text_atomically

needs_posix = pytest.mark.skipif(os.name != "posix", reason="pipes, links and permissions of POSIX")


def test_the_new_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "result.json"
    write_text_atomically(path, "old")
    assert write_text_atomically(path, "zwölf\n") == path
    assert path.read_bytes() == "zwölf\n".encode()
    assert os.listdir(tmp_path) == ["result.json"]


def interrupted_write(path, *, durable):
    with atomic_writer(path, durable=durable) as stream:
        np.savez(stream, np.arange(3))
        raise RuntimeError("no more")


@pytest.mark.parametrize("durable", [True, False])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path, durable):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="no more"):
        interrupted_write(path, durable=durable)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.npz"]


def test_an_array_file_is_read_back(tmp_path):
    with atomic_writer(tmp_path / "weights.npz") as stream:
        np.savez(stream, np.arange(3))
    with np.load(tmp_path / "weights.npz") as stored:
        assert stored["arr_0"].tolist() == [0, 1, 2]


@pytest.mark.skipif(os.name != "posix", reason="a umask is a concept of POSIX")
def test_the_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        path = write_text_atomically(tmp_path / "result.json", "")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def file_mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def draining(path):
    """A thread that reads a pipe to its end, and the list it puts the text in."""
    received = []

    def read():
        with open(path, "rb") as pipe:
            received.append(pipe.read())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, received


@needs_posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755])
def test_an_existing_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "result.json"
    path.write_text("old")
    path.chmod(mode)
    previous = os.umask(0o077)
    try:
        write_text_atomically(path, "new")
    finally:
        os.umask(previous)
    assert (path.read_text(), file_mode(path)) == ("new", mode)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only the superuser may give a file away")
def test_an_existing_file_keeps_its_owner(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    os.chown(path, 1234, 2345)
    write_text_atomically(path, "new")
    assert (path.read_text(), path.stat().st_uid, path.stat().st_gid) == ("new", 1234, 2345)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="the superuser may write to any file")
def test_a_write_protected_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError) as raised:
        write_text_atomically(path, "new")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


@needs_posix
def test_a_link_stays_and_its_target_is_replaced_where_it_is(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "links").mkdir()
    target, link, outer = tmp_path / "runs" / "3.json", tmp_path / "links" / "latest.json", tmp_path / "newest.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to("../runs/3.json")
    outer.symlink_to(link)
    with atomic_writer(outer) as stream:
        stream.write(b"new")
        assert sorted(path.parent.name for path in tmp_path.rglob(".3.json.*")) == ["runs"]
        assert target.read_text() == "old"
    assert os.readlink(link) == "../runs/3.json"
    assert outer.is_symlink()
    assert (target.read_text(), file_mode(target)) == ("new", 0o640)
    assert os.listdir(tmp_path / "links") == ["latest.json"]
    assert os.listdir(tmp_path / "runs") == ["3.json"]


@needs_posix
def test_a_link_to_nothing_creates_what_it_points_to(tmp_path):
    link = tmp_path / "latest.json"
    link.symlink_to("first.json")
    assert write_text_atomically(link, "new") == link
    assert link.is_symlink()
    assert (tmp_path / "first.json").read_text() == "new"


@needs_posix
@pytest.mark.parametrize(
    ("target", "error"), [("nowhere/x.json", FileNotFoundError), ("latest.json", OSError), (".", IsADirectoryError)]
)
def test_a_link_that_leads_to_no_file_is_refused_by_its_own_name(tmp_path, target, error):
    link = tmp_path / "latest.json"
    link.symlink_to(target)
    with pytest.raises(error) as raised:
        write_text_atomically(link, "new")
    assert raised.value.filename == str(link)
    assert os.listdir(tmp_path) == ["latest.json"]
    assert link.is_symlink()


def test_a_folder_is_refused_before_anything_is_computed(tmp_path):
    computed = []
    with pytest.raises(IsADirectoryError) as raised, atomic_writer(tmp_path) as stream:
        computed.append(stream)
    assert (raised.value.filename, computed) == (str(tmp_path), [])


@needs_posix
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_receives_the_text_and_stays_a_pipe(tmp_path, linked):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    text = "zwölf\n" * 50_000
    reader, received = draining(pipe)
    write_text_atomically(link if linked else pipe, text)
    reader.join(timeout=60)
    assert b"".join(received).decode() == text
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


@needs_posix
def test_an_array_file_can_be_sent_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader, received = draining(tmp_path / "pipe")
    with atomic_writer(tmp_path / "pipe") as stream:
        np.savez(stream, np.arange(3))
    reader.join(timeout=60)
    with np.load(io.BytesIO(b"".join(received))) as stored:
        assert stored["arr_0"].tolist() == [0, 1, 2]


@needs_posix
def test_an_error_sends_nothing_through_a_pipe(tmp_path):
    """Nor does it wait for a reader: there is none."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RuntimeError, match="no more"):
        interrupted_write(tmp_path / "pipe", durable=True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no /dev/null")
def test_a_device_takes_the_text_and_stays_a_device(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    assert write_text_atomically(tmp_path / "link", "new") == tmp_path / "link"
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("size", [3, 1_000_000])
@pytest.mark.parametrize("linked", [False, True])
def test_a_full_device_is_a_full_disk_and_stays_a_device(tmp_path, linked, size):
    (tmp_path / "link").symlink_to("/dev/full")
    path = tmp_path / "link" if linked else Path("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_text_atomically(path, "x" * size)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("redirected", [False, True])
def test_the_output_of_the_process_is_continued(tmp_path, path, redirected):
    """Opened by its path, a redirected output would start again, and the next print would overwrite it."""
    program = (
        "from keras_lr._utils.files import write_text_atomically as write\n"
        f"print('before', flush=True); write({path!r}, 'text\\n'); print('after')"
    )
    with (tmp_path / "output").open("wb+") as output:
        shown = output if redirected else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", program], check=True, stdout=shown, timeout=60)
    assert (done.stdout or (tmp_path / "output").read_bytes()) == b"before\ntext\nafter\n"
    assert os.listdir(tmp_path) == ["output"]


def test_an_error_of_the_caller_keeps_its_own_file(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, atomic_writer(tmp_path / "result.json"):
        (tmp_path / "elsewhere" / "data.csv").read_text()
    assert raised.value.filename == str(tmp_path / "elsewhere" / "data.csv")


def test_a_long_name_leaves_room_for_that_of_the_temporary_file(tmp_path):
    path = tmp_path / ("😀" * 63)
    assert write_text_atomically(path, "new").read_text() == "new"


@needs_posix
def test_what_may_be_written_is_known_beforehand(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("old")
    (tmp_path / "dangling").symlink_to("new")
    (tmp_path / "astray").symlink_to("nowhere/new")
    (tmp_path / "loop").symlink_to("loop")
    paths = ["pipe", "file", "new", "dangling", "astray", "nowhere/new", ".", "file/new", "loop"]
    assert [is_writable(tmp_path / path) for path in paths] == [True] * 4 + [False] * 5
    assert (tmp_path / "file").read_text() == "old"
