"""A model saved with one of our schedules loads whichever of Keras and keras_lr is imported first."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import pytest

import keras_lr
from tests.fresh_process import run_fresh

CHECK = """
import keras
from keras.saving import deserialize_keras_object, get_registered_object
model = keras.models.load_model({path!r})
rate = model.optimizer.get_config()["learning_rate"]
restored = keras.optimizers.get(keras.optimizers.serialize(model.optimizer))
print([type(deserialize_keras_object(rate)).__name__, type(restored._learning_rate).__name__])
print(get_registered_object("keras_lr>OneCycle").__module__)
print([type(finder).__name__ for finder in sys.meta_path if "keras_lr" in type(finder).__module__])
"""
EXPECTED = ["['OneCycle', 'OneCycle']", "keras_lr.schedules._cycles", "[]"]

FAKE_KERAS = """
import os, sys
print("keras runs", __spec__.loader.__class__.__name__)
if os.path.exists(__file__ + ".broken"):
    raise ImportError("no backend")
complete = True
"""


def output(program: str, *, folder: Path | None = None, **environment: str) -> list[str]:
    """The lines that a program prints; modules in `folder` hide others of the same name."""
    paths = [str(path) for path in (folder, Path(keras_lr.__file__).parent.parent) if path is not None]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(paths), **environment}
    command = [sys.executable, "-W", "error:keras_lr cannot register", "-c", f"import sys\n{textwrap.dedent(program)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("saved") / "model.keras")
    schedule = keras_lr.schedules.OneCycle(0.1, total_steps=10)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.save(path)
    return path


FORGET_KERAS = """
for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
    del sys.modules[name]
"""


@pytest.mark.parametrize(
    ("forget", "imports"),
    [
        ("", "import keras, keras_lr"),
        (FORGET_KERAS, "from keras_lr import errors; from keras.models import load_model"),
        (FORGET_KERAS, "import keras_lr, importlib; importlib.reload(keras_lr); import keras"),
        (FORGET_KERAS, "import keras_lr, tensorflow as tf; tf.keras.layers"),
    ],
    ids=["keras first", "parts", "reloaded", "tf.keras"],
)
def test_a_saved_model_loads_where_tensorflow_is_imported_already(forget: str, imports: str, saved_model: str) -> None:
    strict = "import sys, warnings; warnings.filterwarnings('error', 'keras_lr cannot register')"
    done = run_fresh("-c", f"{strict}\n{forget}\n{imports}\n{CHECK.format(path=saved_model)}")
    assert done.stdout.splitlines() == EXPECTED, done.stderr


@pytest.mark.slow
def test_a_saved_model_loads_in_a_new_process(saved_model: str, tmp_path: Path) -> None:
    """A spawned one imports the main module again, and with it keras_lr before Keras."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import multiprocessing
import sys

import keras_lr

def check():
{textwrap.indent(CHECK.format(path=saved_model), "    ")}

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(check)
        # The end of the block would terminate the process, with what it has not written yet.
        pool.close()
        pool.join()
"""
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == EXPECTED


@pytest.fixture
def fake_keras(tmp_path: Path) -> Path:
    """A folder with a `keras` of four lines, which shows what the import does without its seconds."""
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "__init__.py").write_text(FAKE_KERAS)
    return tmp_path


WATCH = """
import importlib
from keras_lr._utils.keras_import import after_keras

def done():
    print("after", sys.modules["keras"].complete)

def watching():
    return [type(finder).__name__ for finder in sys.meta_path if "keras_lr" in type(finder).__module__]

sys.meta_path = [finder for finder in sys.meta_path if type(finder).__name__ not in watching()]
after_keras(done)
"""


def test_the_action_runs_once_after_keras_and_leaves_no_trace(fake_keras: Path) -> None:
    program = """
    import keras
    print(watching(), type(keras.__loader__).__name__, vars(keras.__loader__).keys() - {"name", "path"})
    importlib.reload(keras)
    """
    lines = output(WATCH + textwrap.dedent(program), folder=fake_keras)
    assert lines == [
        "keras runs SourceFileLoader",
        "after True",
        "[] SourceFileLoader set()",
        "keras runs SourceFileLoader",
    ]


def test_a_failed_import_of_keras_is_tried_again(fake_keras: Path) -> None:
    (fake_keras / "keras" / "__init__.py.broken").touch()
    program = """
    import os
    try:
        import keras
    except ImportError as error:
        print(error, watching())
    os.remove(os.path.join(sys.path[1], "keras", "__init__.py.broken"))
    import keras
    print(watching())
    """
    lines = output(WATCH + textwrap.dedent(program), folder=fake_keras)
    assert [line for line in lines if not line.startswith("keras runs")] == [
        "no backend ['_KerasFinder']",
        "after True",
        "[]",
    ]


def test_looking_for_keras_is_not_importing_it(fake_keras: Path) -> None:
    program = """
    from importlib.util import find_spec
    print(type(find_spec("keras").loader).__name__, find_spec("keras").origin.endswith("__init__.py"), watching())
    print(find_spec("keras_nothing"))
    import keras
    """
    lines = output(WATCH + textwrap.dedent(program), folder=fake_keras)
    assert lines == [
        "SourceFileLoader True ['_KerasFinder']",
        "None",
        "keras runs SourceFileLoader",
        "after True",
    ]


def test_without_keras_its_import_fails_as_ever(tmp_path: Path) -> None:
    program = """
    sys.meta_path.insert(0, type("Blocker", (), {"find_spec": staticmethod(lambda name, path=None, target=None: None)}))
    sys.path = [path for path in sys.path if "site-packages" not in path]
    try:
        import keras
    except ModuleNotFoundError as error:
        print(error)
    """
    assert output(WATCH + textwrap.dedent(program), folder=tmp_path) == ["No module named 'keras'"]


def test_a_zip_file_with_keras_is_watched_too(fake_keras: Path) -> None:
    """Its loader serves all modules of the file, and is asked twice."""
    program = """
    import os, zipfile
    with zipfile.ZipFile(os.path.join(sys.path[1], "archive.zip"), "w") as archive:
        archive.write(os.path.join(sys.path[1], "keras", "__init__.py"), "keras/__init__.py")
        archive.writestr("other_module.py", "")
    sys.path.insert(0, archive.filename)
    importlib.util.find_spec("keras")
    import other_module, keras
    print(watching())
    """
    lines = output(WATCH + textwrap.dedent(program), folder=fake_keras)
    assert lines == ["keras runs zipimporter", "after True", "[]"]


def test_many_threads_may_import_keras_at_once(fake_keras: Path) -> None:
    """While one of them runs it, another imports what the action imports too."""
    (fake_keras / "keras" / "__init__.py").write_text("import time\ntime.sleep(0.3)\ncomplete = True\n")
    (fake_keras / "after_it.py").write_text("import time, keras\ntime.sleep(0.3)\nassert keras.complete\n")
    program = """
    import threading
    sys.meta_path = [finder for finder in sys.meta_path if type(finder).__name__ not in watching()]
    calls, errors = [], []

    def action():
        import after_it
        calls.append(threading.get_ident())

    after_keras(action)

    def load(name):
        try:
            importlib.import_module(name)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=load, args=(name,)) for name in ("after_it", "keras") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    print(len(calls), errors, watching(), any(thread.is_alive() for thread in threads))
    """
    assert output(WATCH + textwrap.dedent(program), folder=fake_keras)[-1] == "1 [] [] False"
