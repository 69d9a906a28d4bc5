"""Finding the user's model and data from `MODULE:NAME`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_lr.errors import DataError, InvalidArgumentError, ModelError

_NO_DATA = (list, str, bytes, bool, int, float, type(None))
"""What a data function returns by mistake, above all [x, y], which Keras would read as two inputs without a target."""


def load_object(target: str, *, argument: str) -> Any:
    """The object that `MODULE:NAME` names; MODULE is an import path or a Python file, NAME may have dots.

    Args:
        target: For example `my_project.train:build` or `train.py:build`.
        argument: Name of the command-line argument, for messages.

    Raises:
        InvalidArgumentError: There is no such module or name, or importing it failed.
    """
    module_name, colon, name = target.rpartition(":")
    if not (module_name and colon and name):
        raise InvalidArgumentError(
            f"`{argument}` must be MODULE:NAME. Received: {target!r}. Write for example train.py:build."
        )
    found: Any = _import(module_name, argument)
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidArgumentError(
                f"`{argument}` must name something in {module_name}. Received: {name!r}, which it does not have. "
                "Check the spelling."
            )
        found = getattr(found, part)
    return found


def build_model(target: str) -> Any:
    """Calls the user's `BUILD` and returns its compiled model.

    Raises:
        InvalidArgumentError: The target cannot be found.
        ModelError: `BUILD` cannot be called, failed, or returned no compiled Keras model.
    """
    build = load_object(target, argument="MODULE:BUILD")
    if not callable(build):
        raise ModelError(
            f"`MODULE:BUILD` must be a function that returns a compiled model. Received: {target}, a value."
        )
    try:
        model = build()
    except Exception as err:
        raise ModelError(
            f"`MODULE:BUILD` must return a compiled model. Received: {describe(err)}. Mend {target}."
        ) from err
    import keras

    if not isinstance(model, keras.Model) or not model.compiled:
        received = "a model that is not compiled" if isinstance(model, keras.Model) else type(model).__name__
        raise ModelError(
            f"`MODULE:BUILD` must return a compiled keras.Model. Received: {received}. Compile it in {target}."
        )
    return model


def load_data(target: str, *, argument: str = "--data") -> dict[str, Any]:
    """The arguments `x`, `y` and `sample_weight` that the user's `DATA`, a value or a function of none, stands for.

    Args:
        target: As in `load_object`.
        argument: As in `load_object`.

    Raises:
        InvalidArgumentError: The target cannot be found.
        DataError: `DATA` failed, or is no training data, such as a list, or a tuple of another length than 2 or 3.
    """
    data = load_object(target, argument=argument)
    if callable(data) and not hasattr(data, "__getitem__") and not hasattr(data, "__iter__"):
        try:
            data = data()
        except Exception as err:
            raise DataError(f"`{argument}` must give data. Received: {describe(err)}. Mend {target}.") from err
    if not isinstance(data, tuple) and not isinstance(data, _NO_DATA):
        return {"x": data}
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        received = f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__
        raise DataError(
            f"`{argument}` must give (x, y), (x, y, sample_weight) or a dataset. Received: {received}. Mend {target}."
        )
    return dict(zip(("x", "y", "sample_weight"), data, strict=False))


def _import(module_name: str, argument: str) -> ModuleType:
    path = Path(module_name)
    try:
        if path.suffix == ".py":
            return _import_file(path, argument)
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(module_name)
    except InvalidArgumentError:
        raise
    except (Exception, SystemExit) as err:
        raise InvalidArgumentError(
            f"`{argument}` must name a module that can be imported. Received: {module_name}: {describe(err)}. Mend it."
        ) from err


def _import_file(path: Path, argument: str) -> ModuleType:
    if not path.is_file():
        raise InvalidArgumentError(f"`{argument}` must name a file that exists. Received: {path}. Check the path.")
    if (known := sys.modules.get(path.stem)) is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"`{argument}` must name a Python file. Received: {path}. Check the path.")
    # The file's neighbours must be importable, as when it runs as a script.
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        raise
    return module


def describe(err: BaseException) -> str:
    """What went wrong in the user's code, and where."""
    ours = ("<frozen", importlib.__file__, __file__)
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if not frame.filename.startswith(ours)]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(err).__name__}{where}: {err}"


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
