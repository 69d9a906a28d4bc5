"""Loading what a command works on: TensorFlow, and the user's model and data, given as `MODULE:NAME`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_lr._utils.names import similar_name
from keras_lr._utils.validation import check_own_model, missing_package
from keras_lr.errors import DataError, InvalidArgumentError, ModelError

_NO_DATA = (list, str, bytes, bool, int, float, type(None))
"""Types that a data function returns by mistake. Keras would read a list [x, y] as two inputs without a target."""
_TRAINING_CALLS = {"fit", "train_on_batch", "find_lr"}


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for GPUs, without log messages unless the user has set `TF_CPP_MIN_LOG_LEVEL`."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" not in sys.modules:
        print("keras-lr: loading TensorFlow ...", file=sys.stderr, flush=True)
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # The search for CUDA writes to the file descriptor directly, whatever the log level.
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


def check_installed(module: str, *, user: str, package: str, extra: str) -> None:
    """Raises `MissingPackageError` for a module that is not installed; looks for it without importing it."""
    if importlib.util.find_spec(module) is None:
        raise missing_package(user, package, extra)


def check_targets(targets: Mapping[str, str | None]) -> None:
    """Refuses what is known to fail without running the user's code, which imports TensorFlow.

    Writes a line to stderr if a file would train as soon as it is imported.

    Args:
        targets: By the name of the command-line argument, what was given; None for an option that was not.

    Raises:
        InvalidArgumentError: A target is not `MODULE:NAME`, or there is no such file, module or name.
    """
    training: dict[str, tuple[int, str]] = {}
    for argument, target in targets.items():
        if target is None:
            continue
        module_name, name = _split(target, argument)
        if not module_name.endswith(".py"):
            _check_installed(module_name, argument)
            continue
        tree = _parsed(Path(module_name), argument)
        names = _bound_names(tree)
        if names is not None and name.split(".")[0] not in names:
            raise _no_such_name(argument, module_name, name, names)
        if (call := _first_training(tree)) is not None:
            training[module_name] = call
    for module_name, (line, called) in training.items():
        print(
            f"keras-lr: {module_name} calls `{called}` at line {line} as soon as it is imported. Put that under "
            '`if __name__ == "__main__":`.',
            file=sys.stderr,
            flush=True,
        )


def _split(target: str, argument: str) -> tuple[str, str]:
    module_name, colon, name = target.rpartition(":")
    if not (module_name and colon and name):
        raise InvalidArgumentError(
            f"`{argument}` must be MODULE:NAME, for example train.py:build. Received: {target!r}."
        )
    return module_name, name


def _check_installed(module_name: str, argument: str) -> None:
    """Looks for the outermost package only: to look further would import it."""
    _search_here()
    outermost = module_name.split(".")[0]
    if outermost not in sys.modules and importlib.util.find_spec(outermost) is None:
        as_file = f" For a file, write {module_name}.py." if Path(f"{module_name}.py").is_file() else ""
        raise InvalidArgumentError(
            f"`{argument}` must name a module that can be imported. There is no module {outermost}.{as_file}"
        )


def _parsed(path: Path, argument: str) -> ast.Module:
    if not path.is_file():
        raise InvalidArgumentError(f"`{argument}` must name an existing file. Received: {path}. Check the path.")
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as err:
        raise InvalidArgumentError(f"`{argument}` must name a Python file. Received: {path}: {err}.") from err


def _bound_names(tree: ast.Module) -> set[str] | None:
    """The names that a file may define, wherever they stand in it; None if only running it would show them."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return None if names & {"*", "globals", "exec", "setattr", "__getattr__"} else names


def _first_training(tree: ast.Module) -> tuple[int, str] | None:
    """Line and name of the first call outside of functions and guards that trains; None without one."""
    open_nodes: list[ast.AST] = list(reversed(tree.body))
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in _TRAINING_CALLS:
                return node.lineno, called
        open_nodes += reversed(list(ast.iter_child_nodes(node)))
    return None


def _no_such_name(argument: str, module_name: str, name: str, known: Iterable[str]) -> InvalidArgumentError:
    public = [one for one in known if not one.startswith("_")]
    right = similar_name(name, public)
    remedy = f"Did you mean {right}?" if right else "Check the spelling."
    return InvalidArgumentError(
        f"`{argument}` must name something in {module_name}. Received: {name!r}, which it does not define. {remedy}"
    )


def build_model(target: str) -> Any:
    """Calls the user's `BUILD` and returns its compiled model.

    Args:
        target: As in `load_object`.

    Raises:
        InvalidArgumentError: The target cannot be found.
        ModelError: `BUILD` cannot be called, failed, or did not return a compiled Keras model.
    """
    import keras

    build = load_object(target, argument="MODULE:BUILD")
    if not callable(build) or isinstance(build, keras.Model):
        raise ModelError(
            f"`MODULE:BUILD` must be a function that returns a compiled model. Received: {target}, which is of type "
            f"{type(build).__name__}. Make and compile the model in a function, and name that."
        )
    try:
        model = build()
    except Exception as err:
        raise build_error(target, err) from err
    if not isinstance(model, keras.Model):
        check_own_model("MODULE:BUILD", model)
        raise ModelError(
            f"`MODULE:BUILD` must return a compiled keras.Model. Received: {type(model).__name__}. Return the model in "
            f"{target}."
        )
    if not model.compiled:
        raise ModelError(
            f"`MODULE:BUILD` must return a compiled model. Received one that is not compiled. Compile it in {target}."
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
    if _holds_validation(data):
        raise DataError(
            f"`{argument}` must give (x, y), (x, y, sample_weight) or a dataset. Received: ((x, y), (x_val, y_val)). "
            f"Return the first pair from {target}, and the second from another function for `--validation-data`."
        )
    if isinstance(data, tuple) and len(data) in (2, 3):
        return dict(zip(("x", "y", "sample_weight"), data, strict=False))
    if isinstance(data, (tuple, *_NO_DATA)):
        received = f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__
        raise DataError(
            f"`{argument}` must give (x, y), (x, y, sample_weight) or a dataset. Received: {received}. Fix {target}."
        )
    return {"x": data}


def _holds_validation(data: Any) -> bool:
    """Whether these are two pairs of as many inputs as targets each, but not of as many as one another."""
    if not isinstance(data, tuple) or len(data) != 2:
        return False
    pairs = [pair for pair in data if isinstance(pair, tuple) and len(pair) == 2]
    sizes = [[getattr(part, "shape", ())[:1] for part in pair] for pair in pairs]
    return len(sizes) == 2 and all(one == other for one, other in sizes) and sizes[0] != sizes[1]


def load_object(target: str, *, argument: str) -> Any:
    """The object that `MODULE:NAME` names.

    Args:
        target: MODULE is an import path or a Python file; NAME may have dots. For example `my_project.train:build` or
            `train.py:build`.
        argument: Name of the command-line argument, for messages.

    Raises:
        InvalidArgumentError: The module or the name does not exist, or the import failed.
    """
    module_name, name = _split(target, argument)
    found: Any = _import(module_name, argument)
    for part in name.split("."):
        if not hasattr(found, part):
            raise _no_such_name(argument, module_name, name, dir(found))
        found = getattr(found, part)
    return found


def _import(module_name: str, argument: str) -> ModuleType:
    path = Path(module_name)
    try:
        if path.suffix == ".py":
            return _import_file(path, argument)
        _search_here()
        return importlib.import_module(module_name)
    except InvalidArgumentError:
        raise
    except (Exception, SystemExit) as err:
        raise InvalidArgumentError(
            f"`{argument}` must name a module that can be imported. Importing {module_name} failed with "
            f"{_described(err)}."
        ) from err


def _search_here() -> None:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _import_file(path: Path, argument: str) -> ModuleType:
    if not path.is_file():
        raise InvalidArgumentError(f"`{argument}` must name an existing file. Received: {path}. Check the path.")
    if (known := sys.modules.get(path.stem)) is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"`{argument}` must name a Python file. Received: {path}. Check the path.")
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
