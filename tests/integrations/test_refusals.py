"""What the functions refuse, before anything is written."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path
from typing import Any

import pytest

import keras_lr
from keras_lr import integrations
from keras_lr.errors import InvalidArgumentError, MissingPackageError
from tests.integrations.searched import raced


@pytest.mark.parametrize("tool", ["mlflow", "optuna", "wandb"])
def test_the_error_for_a_missing_package_names_the_extra_that_installs_it(tool: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(MissingPackageError, match=rf'is not installed.*pip install "keras-lr\[{tool}\]"'):
        getattr(integrations, f"to_{tool}")(raced())
    config = configparser.ConfigParser()
    config.read(Path(keras_lr.__file__).parents[1] / "setup.cfg")
    assert config["options.extras_require"][tool].strip().startswith(tool)


@pytest.mark.parametrize("name", integrations.__all__)
def test_something_else_than_a_search_is_refused(name: str, tmp_path: Path) -> None:
    given = [tmp_path / "logs"] if name == "to_tensorboard" else []
    with pytest.raises(InvalidArgumentError, match=r"`search` must be.*Received: dict"):
        getattr(integrations, name)({"loss": [1.0]}, *given)
    assert not list(tmp_path.iterdir())
