"""Loading what a command works on: TensorFlow, and the user's model and data, given as `MODULE:NAME`."""

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

from keras_lr._utils.validation import check_own_model
from keras_lr.errors import DataError, InvalidArgumentError, ModelError

_NO_DATA = (list, str, bytes, bool, int, float, type(None))
"""Types that a data function returns by mistake. Keras would read a list [x, y] as two inputs without a target."""


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for GPUs, without log messages unless the user has set `TF_CPP_MIN_LOG_LEVEL`."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # The search for CUDA writes to the file descriptor directly, whatever the log level.
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


def build_model(target: str) -> Any:
    """Calls the user's `BUILD` and returns its compiled model.

    Args:
        target: As in `load_object`.

    Raises:
        InvalidArgumentError: The target cannot be found.
        ModelError: `BUILD` cannot be called, failed, or did not return a compiled Keras model.
    """
    build = load_object(target, argument="MODULE:BUILD")
    if not callable(build):
        raise ModelError(
            f"`MODULE:BUILD` must be a function that returns a compiled model, got {target}, which is of type "
            f"{type(build).__name__}."
        )
    try:
        model = build()
    except Exception as err:
        raise build_error(target, err) from err
    import keras

    if not isinstance(model, keras.Model):
        check_own_model("MODULE:BUILD", model)
        raise ModelError(
            f"`MODULE:BUILD` must return a compiled keras.Model, got {type(model).__name__}. Return the model in "
            f"{target}."
        )
    if not model.compiled:
        raise ModelError(
            f"`MODULE:BUILD` must return a compiled model, got one that is not compiled. Compile it in {target}."
        )
    return model


def build_error(target: str, err: Exception) -> ModelError:
    """The error for a `BUILD` that raised `err`."""
    return ModelError(f"`MODULE:BUILD` failed with {_described(err)}. Fix {target}.")


def load_data(target: str, *, argument: str = "--data") -> dict[str, Any]:
    """The user's `DATA`, a value or a function that returns one, as the arguments `x`, `y` and `sample_weight`.

    Args:
        target: As in `load_object`.
        argument: As in `load_object`.

    Raises:
        InvalidArgumentError: The target cannot be found.
        DataError: `DATA` failed or is not training data, such as a list, or a tuple of neither 2 nor 3 parts.
    """
    data = load_object(target, argument=argument)
    if callable(data) and not hasattr(data, "__getitem__") and not hasattr(data, "__iter__"):
        try:
            data = data()
        except Exception as err:
            raise DataError(f"`{argument}` failed with {_described(err)}. Fix {target}.") from err
    if not isinstance(data, tuple) and not isinstance(data, _NO_DATA):
        return {"x": data}
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        received = f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__
        raise DataError(
            f"`{argument}` must give (x, y), (x, y, sample_weight) or a dataset, got {received}. Fix {target}."
        )
    return dict(zip(("x", "y", "sample_weight"), data, strict=False))


def load_object(target: str, *, argument: str) -> Any:
    """The object that `MODULE:NAME` names.

    Args:
        target: MODULE is an import path or a Python file; NAME may have dots. For example `my_project.train:build` or
            `train.py:build`.
        argument: Name of the command-line argument, for messages.

    Raises:
        InvalidArgumentError: The module or the name does not exist, or the import failed.
    """
    module_name, colon, name = target.rpartition(":")
    if not (module_name and colon and name):
        raise InvalidArgumentError(f"`{argument}` must be MODULE:NAME, for example train.py:build, got {target!r}.")
    found: Any = _import(module_name, argument)
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidArgumentError(
                f"`{argument}` must name something in {module_name}, got {name!r}, which it does not define. Check the "
                "spelling."
            )
        found = getattr(found, part)
    return found


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
            f"`{argument}` must name a module that can be imported. Importing {module_name} failed with "
            f"{_described(err)}."
        ) from err


def _import_file(path: Path, argument: str) -> ModuleType:
    if not path.is_file():
        raise InvalidArgumentError(f"`{argument}` must name an existing file, got {path}. Check the path.")
    if (known := sys.modules.get(path.stem)) is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"`{argument}` must name a Python file, got {path}. Check the path.")
    # The file may import its neighbours, as it may when it runs as a script.
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


def _described(err: BaseException) -> str:
    """What went wrong in the user's code, and at which line."""
    ours = ("<frozen", importlib.__file__, __file__)
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if not frame.filename.startswith(ours)]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = str(err).rstrip(".")
    return f"{type(err).__name__}{where}" + (f": {message}" if message else "")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and shows it after all if the block fails."""
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
