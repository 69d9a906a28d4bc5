"""The check that Keras runs on TensorFlow, which also runs when this module is imported.

Each public module that needs Keras imports this one before it. Where another backend is chosen, but not installed, the
error is then the one below and not one from the inside of Keras.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

from keras_lr.errors import BackendError


def require_tensorflow() -> None:
    """Checks the backend that Keras has, or would have if it were imported now.

    Raises:
        BackendError: It is not TensorFlow.
    """
    chosen, where = _backend()
    if chosen != "tensorflow":
        raise BackendError(
            f"keras_lr needs Keras's TensorFlow backend, but {where} {chosen!r}. Set the environment variable "
            "KERAS_BACKEND=tensorflow before Python starts."
        )
    if os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"):
        warnings.warn(
            "TF_USE_LEGACY_KERAS makes `tf.keras` Keras 2, with whose models keras_lr does not work. Unset it, or "
            "build the model with `import keras`.",
            stacklevel=2,
        )


def _backend() -> tuple[str, str]:
    """The backend's name, and the beginning of a sentence that says where it was chosen."""
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is not None and hasattr(config, "backend"):
        return str(config.backend()), "Keras was imported with"
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND is"
    path = _settings_file()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        stored = "tensorflow"
    return str(stored), f"the file {path} names"


def _settings_file() -> Path:
    """Where Keras looks for its settings."""
    home = os.path.expanduser("~")
    folder = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", folder)), "keras.json")


require_tensorflow()
