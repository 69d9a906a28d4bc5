"""MODULE:NAME on the command line."""

import importlib
import sys

import pytest

from keras_lr.cli._loading import build_model, load_data, load_object
from keras_lr.cli._search import _hypermodel
from keras_lr.errors import DataError, InvalidArgumentError, ModelError
from keras_lr.search._model_factory import as_hypermodel


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    # Imported first, so that restoring `sys.modules` does not remove a part of it.
    importlib.import_module("keras")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def write(text, name="user_train.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_is_loaded_once_for_two_names(user_file):
    path = user_file("state = []\ndef build():\n    return state\ndef data():\n    return state\n")
    build = load_object(f"{path}:build", argument="MODULE:BUILD")
    data = load_object(f"{path}:data", argument="--data")
    assert build() is data()


def test_a_file_imports_what_lies_beside_it(user_file):
    user_file("value = 3\n", name="user_beside.py")
    path = user_file("from user_beside import value\n")
    assert load_object(f"{path}:value", argument="--data") == 3


def test_a_file_named_as_a_known_module_is_still_the_file(user_file):
    path = user_file("value = 5\n", name="json.py")
    assert load_object(f"{path}:value", argument="--data") == 5


def test_a_module_in_the_working_directory_is_found(user_file, tmp_path, monkeypatch):
    user_file("class Nested:\n    value = 4\n", name="user_module.py")
    monkeypatch.chdir(tmp_path)
    assert load_object("user_module:Nested.value", argument="--data") == 4


@pytest.mark.parametrize("target", ["train.py", ":build", "train.py:"])
def test_a_target_without_both_parts_is_refused(target):
    with pytest.raises(InvalidArgumentError, match=r"`--data` must be MODULE:NAME"):
        load_object(target, argument="--data")


def test_a_missing_file_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"must name an existing file. Received: nowhere/train\.py"):
        load_object("nowhere/train.py:build", argument="MODULE:BUILD")


def test_a_missing_module_is_refused():
    with pytest.raises(
        InvalidArgumentError, match=r"Importing no_such failed with ModuleNotFoundError: No module named 'no_such'"
    ):
        load_object("no_such:build", argument="MODULE:BUILD")


def test_a_missing_name_is_refused(user_file):
    with pytest.raises(InvalidArgumentError, match="Received: 'build', which it does not define"):
        load_object(f"{user_file('')}:build", argument="MODULE:BUILD")


@pytest.mark.parametrize("statement", ["raise RuntimeError('no disk')", "raise SystemExit('no disk')"])
def test_an_import_that_fails_says_where(user_file, statement):
    path = user_file(f"x = 1\n{statement}\n")
    with pytest.raises(InvalidArgumentError, match=r"at user_train\.py:2: no disk"):
        load_object(f"{path}:build", argument="MODULE:BUILD")


def test_a_model_that_cannot_be_built_says_where(user_file):
    path = user_file("def build():\n    return [][0]\nvalue = 3\n")
    with pytest.raises(ModelError, match=r"IndexError at user_train\.py:2"):
        build_model(f"{path}:build")
    with pytest.raises(
        ModelError, match=r"must be a function that returns a compiled model. Received: .*:value, which is of type int"
    ):
        build_model(f"{path}:value")


def test_only_a_compiled_model_serves(user_file):
    path = user_file("import keras\ndef bare():\n    return keras.Sequential()\ndef number():\n    return 3\n")
    with pytest.raises(ModelError, match=r"must return a compiled model\. Received one that is not compiled"):
        build_model(f"{path}:bare")
    with pytest.raises(ModelError, match=r"must return a compiled keras\.Model. Received: int"):
        build_model(f"{path}:number")


def test_a_model_in_place_of_a_function_is_named(user_file):
    path = user_file(
        "import keras, keras_tuner\nmodel = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])\n"
        "class Hyper(keras_tuner.HyperModel):\n    pass\n"
    )
    with pytest.raises(ModelError, match=r"must be a function that .*:model, which is of type Sequential\. Make and"):
        build_model(f"{path}:model")
    with pytest.raises(InvalidArgumentError, match=r"must be a function that .* Received: Sequential\. Wrap"):
        as_hypermodel(_hypermodel(f"{path}:model"))
    with pytest.raises(InvalidArgumentError, match=r"Received: the class Hyper\. Pass an instance .* Hyper\(\)"):
        as_hypermodel(_hypermodel(f"{path}:Hyper"))


def test_data_are_a_value_or_a_function(user_file):
    path = user_file("pair = (1, 2)\ndef triple():\n    return 1, 2, 3\ndef single():\n    return {'a': 1}\n")
    assert load_data(f"{path}:pair") == {"x": 1, "y": 2}
    assert load_data(f"{path}:triple") == {"x": 1, "y": 2, "sample_weight": 3}
    assert load_data(f"{path}:single") == {"x": {"a": 1}}


def test_training_and_validation_data_in_one_are_refused_with_what_to_do(user_file):
    """As `keras.datasets` returns them; two inputs and two outputs have as many samples each."""
    path = user_file(
        "import numpy as np\nx, y, more = np.zeros((4, 2)), np.zeros(4), np.zeros((3, 2))\n"
        "both = (x, y), (more, y[:3])\ntwo = (x, x[:, :1]), (y, y)\n"
    )
    with pytest.raises(DataError, match=r"Received: \(\(x, y\), \(x_val, y_val\)\)\. Return the first pair"):
        load_data(f"{path}:both")
    assert [len(part) for part in load_data(f"{path}:two").values()] == [2, 2]


def test_data_that_cannot_be_used_are_refused(user_file):
    path = user_file(
        "def four():\n    return 1, 2, 3, 4\ndef broken():\n    return 1 / 0\n"
        "def nothing():\n    pass\npair = [1, 2]\nnumber = 3\n"
    )
    with pytest.raises(DataError, match="Received: a tuple of 4"):
        load_data(f"{path}:four")
    for name, received in (("pair", "list"), ("number", "int"), ("nothing", "NoneType")):
        with pytest.raises(DataError, match=f"`--data` must give .*. Received: {received}"):
            load_data(f"{path}:{name}")
    with pytest.raises(DataError, match=r"ZeroDivisionError at user_train\.py:4"):
        load_data(f"{path}:broken")
