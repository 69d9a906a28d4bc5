"""Writing a file completely or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_writer(path: str | Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file next to `path` that replaces it once the block ends without an error.

    A reader sees the old file or the new one, never half of one. If writing fails, the old file stays and the temporary
    one is deleted. The new file has the permissions that the user's umask gives.

    Args:
        path: The file to write.
        durable: Whether to wait until the data is on the disk, so that it also survives a power failure.

    Yields:
        A binary stream.

    Raises:
        OSError: The folder does not exist or is read-only, or the disk is full.
    """
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
    except OSError as err:
        # The error names the temporary file, which means nothing to the user.
        raise OSError(err.errno, err.strerror, str(target)) from err
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text_atomically(path: str | Path, text: str) -> Path:
    """Writes `text` as UTF-8 to `path`, completely or not at all, and returns the path.

    Raises:
        OSError: The folder does not exist or is read-only, or the disk is full.
    """
    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8"))
    return Path(path)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
