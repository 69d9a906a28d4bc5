"""Another backend than TensorFlow, or Keras 2, is named at once, in a sentence that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_lr
from keras_lr.errors import ModelError
from tests.fresh_process import run_fresh

PACKAGE_FOLDER = str(Path(keras_lr.__file__).parent.parent)
REMEDY = "Set the environment variable KERAS_BACKEND=tensorflow before Python starts."
NEED_KERAS = ("callbacks", "devices", "optimizers", "range_test", "schedules", "search")


def run(program: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with an empty home and with the modules in `folder` before all others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_USE"))}
    paths = os.pathsep.join([str(folder), PACKAGE_FOLDER])
    environment = {**kept, "HOME": str(folder), "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=240)


ATTEMPTS = f"""
import sys
import keras_lr
for name in {[*NEED_KERAS, "find_lr", "AutoLR", "LogGridSearch"]!r}:
    try:
        getattr(keras_lr, name)
    except ImportError as error:
        print(f"{{name}}: {{type(error).__name__}}: {{error}}")
try:
    from keras_lr.schedules import OneCycle
except keras_lr.errors.BackendError as error:
    print("from:", error)
rates = [10.0 ** -power for power in range(7, 0, -1)]
print(keras_lr.suggest(rates, [2.0, 2.0, 1.9, 1.0, 0.5, 0.7, 9.0]).rule, "keras.src" in sys.modules)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_is_refused_before_keras_is_imported(backend: str, tmp_path: Path) -> None:
    """`import keras_lr` itself and all that needs no Keras still work."""
    done = run(ATTEMPTS, tmp_path, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    message = f"keras_lr needs Keras's TensorFlow backend, but KERAS_BACKEND is '{backend}'. {REMEDY}"
    names = [*NEED_KERAS, "find_lr", "AutoLR", "LogGridSearch"]
    assert done.stdout.splitlines() == [
        *(f"{name}: BackendError: {message}" for name in names),
        f"from: {message}",
        "consensus False",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("variable", [None, "KERAS_HOME"])
def test_a_backend_chosen_in_the_settings_file_is_named_with_the_file(variable: str | None, tmp_path: Path) -> None:
    folder = tmp_path / ("elsewhere" if variable else ".keras")
    folder.mkdir()
    (folder / "keras.json").write_text('{"backend": "torch"}')
    done = run("import keras_lr.range_test", tmp_path, **({variable: str(folder)} if variable else {}))
    message = f"keras_lr needs Keras's TensorFlow backend, but the file {folder}/keras.json names 'torch'. {REMEDY}"
    assert done.stderr.splitlines()[-1] == f"keras_lr.errors.BackendError: {message}"


FAKE_KERAS = """
class config:
    @staticmethod
    def backend():
        return "jax"
"""


@pytest.mark.parametrize("imports", ["import keras, keras_lr", "import keras_lr, keras"])
def test_the_backend_that_keras_has_counts_and_its_import_is_not_disturbed(imports: str, tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text(FAKE_KERAS)
    done = run(f"{imports}\nprint('imported')\nkeras_lr.find_lr", tmp_path, KERAS_BACKEND="tensorflow")
    assert done.stdout == "imported\n"
    message = f"keras_lr needs Keras's TensorFlow backend, but Keras was imported with 'jax'. {REMEDY}"
    assert done.stderr.splitlines()[-1] == f"keras_lr.errors.BackendError: {message}"


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    program = "from keras_lr.cli import main; sys.exit(main(['devices']))"
    done = run(f"import sys; {program}", tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("keras-lr: error: keras_lr needs Keras's TensorFlow backend, but")


def test_keras_2_gets_a_warning() -> None:
    program = "import keras_lr; print(keras_lr.find_lr.__name__)"
    done = run_fresh("-c", program, environment={"TF_USE_LEGACY_KERAS": "1"})
    assert done.stdout == "find_lr\n"
    warned = [line for line in done.stderr.splitlines() if "TF_USE_LEGACY_KERAS makes `tf.keras` Keras 2" in line]
    assert len(warned) == 1
    assert "UserWarning" in warned[0]


def foreign_model(module: str) -> type:
    """A class of another library, as far as its bases say."""
    base = type("Model", (), {"__module__": module})
    return type("MyModel", (base,), {"__module__": "__main__"})


HINTS = [
    ("tf_keras.src.engine.training", r"a model of Keras 2 \(tf_keras\)\. Unset TF_USE_LEGACY_KERAS and build"),
    ("tensorflow.python.keras.engine.training", r"a model of Keras 2 \(tf_keras\)\. Unset TF_USE_LEGACY_KERAS"),
    ("torch.nn.modules.module", r"a PyTorch module\. keras_lr works with Keras on TensorFlow\."),
]


@pytest.mark.parametrize(("module", "hint"), HINTS)
def test_a_model_of_another_library_is_named(module: str, hint: str) -> None:
    with pytest.raises(ModelError, match=rf"`model` must be a Keras 3 model\. Received: {hint}"):
        keras_lr.find_lr(foreign_model(module)(), [[1.0]], [1.0])


@pytest.mark.parametrize("name", keras_lr.callbacks.__all__)
def test_every_callback_refuses_the_fit_of_another_library(name: str) -> None:
    callback = getattr(keras_lr, name)()
    with pytest.raises(ModelError, match=r"`model` must be a Keras 3 model\. Received: a model of Keras 2"):
        callback.set_model(foreign_model("tf_keras.src.engine.training")())


def test_anything_else_is_named_by_its_type() -> None:
    with pytest.raises(ModelError, match=r"`model` must be a keras\.Model\. Received: str\. Pass the model itself\."):
        keras_lr.find_lr("model", [[1.0]], [1.0])
