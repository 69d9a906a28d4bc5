"""A file is written completely or not at all."""

import os
import stat

import numpy as np
import pytest

from keras_lr._utils.files import atomic_writer, write_text_atomically


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
