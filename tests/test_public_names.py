"""What `keras_lr` shows to its users."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_lr
from keras_lr import errors

PACKAGES = [
    f"keras_lr.{module.name}"
    for module in pkgutil.iter_modules(keras_lr.__path__)
    if module.ispkg or module.name == "errors"
]
FIXED = {
    "LRRangeTest",
    "find_lr",
    "RangeTestResult",
    "suggest",
    "analyze_history",
    "LogGridSearch",
    "schedules",
    "AutoLR",
    "HistoryMonitor",
    "LRRecorder",
    "MomentumCycle",
    "Report",
}


def test_the_facade_has_the_names_it_promises() -> None:
    assert set(keras_lr.__all__) >= FIXED
    assert dir(keras_lr) == sorted(keras_lr.__all__)
    for name in keras_lr.__all__:
        assert getattr(keras_lr, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'find_learning_rate'"):
        _ = keras_lr.find_learning_rate


@pytest.mark.parametrize("package", PACKAGES)
def test_all_lists_what_a_package_gives(package: str) -> None:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    for name in names:
        assert hasattr(module, name), f"{package}.{name}"


@pytest.mark.parametrize("name", [name for name in keras_lr.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    value = getattr(keras_lr, name)
    summary = (inspect.getdoc(value) or "").strip().splitlines()
    assert summary, name
    assert summary[0].endswith("."), name
    if inspect.isclass(value):
        own = [
            method
            for method, function in vars(value).items()
            if inspect.isfunction(function) and not method.startswith("_") and not inspect.getdoc(function)
        ]
        assert not own, f"{name} has undocumented methods {own}"


@pytest.mark.parametrize("name", ["LRRangeTest", "find_lr", "suggest", "analyze_history"])
def test_documented_arguments_are_the_real_ones(name: str) -> None:
    value = getattr(keras_lr, name)
    documented = re.search(r"Args:\n(.*?)(?:\n\n|\Z)", inspect.getdoc(value) or "", re.DOTALL)
    assert documented is not None
    described = set(re.findall(r"^    (\w+):", documented.group(1), re.MULTILINE))
    signature = inspect.signature(value.__init__ if inspect.isclass(value) else value)
    assert described == set(signature.parameters) - {"self"}


def test_errors_are_also_builtins() -> None:
    leaves = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.KerasLRError) and value is not errors.KerasLRError
    ]
    assert len(leaves) >= 6
    for leaf in leaves:
        assert issubclass(leaf, (ValueError, RuntimeError, OSError, TypeError)), leaf
        assert leaf.__name__ in (errors.__doc__ or "")


@pytest.mark.slow
def test_a_saved_schedule_loads_after_the_import_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "model.keras")
    schedule = keras_lr.schedules.OneCycle(0.1, total_steps=10)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.save(path)
    program = (
        f"import keras, keras_lr\nprint(type(keras.models.load_model({path!r}).optimizer._learning_rate).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "OneCycle"
