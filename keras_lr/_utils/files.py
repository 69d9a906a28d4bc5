"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_text_atomically(path: str | Path, text: str) -> Path:
    """Writes `text` as UTF-8 to `path` through a temporary file beside it, with the user's umask.

    A reader sees the old file or the new one, never a half; where writing fails the old file stands and no other is
    left.

    Raises:
        OSError: The folder does not exist, is read-only, or the disk is full.
    """
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
    except OSError as err:
        # It names the temporary file, of which the user knows nothing.
        raise OSError(err.errno, err.strerror, str(target)) from err
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
