"""Writing a file completely or not at all, whatever stands at its path: a file, a link, a pipe or a device."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MAX_LINKS = 40
_DESCRIPTOR_FOLDERS = ("/proc/self/fd", "/dev/fd")
"""Their entries are the descriptors that this process has open; `/dev/stdout` is a link into one of them."""


@contextlib.contextmanager
def atomic_writer(path: str | Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a stream whose content stands at `path` once the block ends without an error.

    A file is replaced: the stream is a temporary file next to it, so a reader sees the old file or the new one, never
    half of one. The new file keeps the permissions and the owner of the old one; without an old one, it has the
    permissions that the user's umask gives. A link stays, and what it points to is replaced or created. A pipe or a
    device is written to when the block ends, also the process's own output, as `/dev/stdout`. If the block fails,
    nothing is changed.

    Args:
        path: The file to write.
        durable: Whether to wait until the data is on the disk, so that it also survives a power failure.

    Yields:
        A binary stream.

    Raises:
        OSError: The folder does not exist or is read-only, the file is write-protected, or the disk is full. The error
            names `path`.
    """
    target = _follow(path)
    with _errors_that_name(path, target), _stream_to(target, _status(target), durable=durable) as stream:
        yield stream


def write_text_atomically(path: str | Path, text: str) -> Path:
    """Writes `text` as UTF-8 to `path`, completely or not at all, and returns the path.

    Raises:
        OSError: The folder does not exist or is read-only, the file is write-protected, or the disk is full.
    """
    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8"))
    return Path(path)


def is_writable(path: str | Path) -> bool:
    """Whether `atomic_writer` may write to `path`, as far as can be known beforehand; nothing is changed."""
    try:
        target = _follow(path)
        status = _status(target)
    except OSError:
        return False
    if target.descriptor is not None:
        return True
    if status is None:
        return os.access(target.folder, os.W_OK)
    if stat.S_ISREG(status.st_mode):
        return os.access(target.path, os.W_OK) and os.access(target.folder, os.W_OK)
    return not stat.S_ISDIR(status.st_mode) and os.access(target.path, os.W_OK)


def folder_of(path: str | Path) -> Path:
    """The folder of the file that `atomic_writer` writes for `path`: where it links to, if it is a link."""
    return Path(_follow(path).folder)


class _Target(NamedTuple):
    """What a path leads to once all links are followed.

    Attributes:
        path: The path at the end of the links; nothing need exist there.
        folder: The folder it is in.
        descriptor: Number of the process's own descriptor if the path names one.
    """

    path: str
    folder: str
    descriptor: int | None = None


def _follow(path: str | Path) -> _Target:
    descriptors = {os.path.realpath(folder) for folder in _DESCRIPTOR_FOLDERS}
    place = os.fspath(Path(path))
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(place)
        folder = os.path.realpath(folder)
        place = os.path.join(folder, name)
        if folder in descriptors and name.isdecimal():
            return _Target(place, folder, int(name))
        if not os.path.islink(place):
            return _Target(place, folder)
        place = os.path.join(folder, os.readlink(place))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _status(target: _Target) -> os.stat_result | None:
    try:
        return os.stat(target.path)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _errors_that_name(path: str | Path, target: _Target) -> Iterator[None]:
    """Names `path` in the errors of the block that name no file, or one beside the target."""
    try:
        yield
    except OSError as err:
        foreign = err.filename is not None and os.path.dirname(os.fsdecode(err.filename)) != target.folder
        if err.errno is None or foreign:
            raise
        raise OSError(err.errno, err.strerror, str(path)) from err


def _stream_to(
    target: _Target, status: os.stat_result | None, *, durable: bool
) -> contextlib.AbstractContextManager[BinaryIO]:
    if target.descriptor is not None:
        return _in_place(target)
    if status is None or stat.S_ISREG(status.st_mode):
        return _replacing(target, status, durable=durable)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return _in_place(target)


@contextlib.contextmanager
def _in_place(target: _Target) -> Iterator[BinaryIO]:
    """Collects the content and writes it to a pipe, a device or a descriptor at the end."""
    stream = io.BytesIO()
    yield stream
    # A descriptor is copied, not opened by its path, which would start a redirected output from its beginning again.
    number = os.open(target.path, os.O_WRONLY) if target.descriptor is None else os.dup(target.descriptor)
    with os.fdopen(number, "wb") as output:
        output.write(stream.getbuffer())


@contextlib.contextmanager
def _replacing(target: _Target, status: os.stat_result | None, *, durable: bool) -> Iterator[BinaryIO]:
    """A temporary file that replaces the target at the end."""
    if status is not None:
        # Raises an error if the file is write-protected, which replacing it would ignore.
        os.close(os.open(target.path, os.O_WRONLY))
    # A character takes at most four of the 255 bytes that a name may have.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{Path(target.path).name[:48]}.", dir=target.folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        _set_permissions(temporary, status)
        os.replace(temporary, target.path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _set_permissions(path: str, former: os.stat_result | None) -> None:
    if former is None:
        os.chmod(path, 0o666 & ~_umask())
        return
    own = os.stat(path)
    if hasattr(os, "chown") and (own.st_uid, own.st_gid) != (former.st_uid, former.st_gid):
        # Only the superuser may give a file away.
        with contextlib.suppress(PermissionError):
            os.chown(path, former.st_uid, former.st_gid)
    os.chmod(path, stat.S_IMODE(former.st_mode))


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
