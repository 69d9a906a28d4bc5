"""Starting TensorFlow without its start-up messages."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for GPUs quietly, unless the user has set `TF_CPP_MIN_LOG_LEVEL`."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # Looking for CUDA writes to the descriptor itself, whatever the log level is.
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Holds back what is written to descriptor 2; where the block fails, it is shown after all."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
