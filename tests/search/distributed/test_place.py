"""Where a search trains, by its arguments and by KerasTuner's environment variables."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from keras_lr.errors import InvalidArgumentError, MissingPackageError
from keras_lr.search._distributed.place import Place, role

VARIABLES = {"KERASTUNER_ORACLE_IP": "10.0.0.1", "KERASTUNER_ORACLE_PORT": "8000"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "KERASTUNER_TUNER_ID"):
        monkeypatch.delenv(name, raising=False)


def set_variables(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable, value in {**VARIABLES, "KERASTUNER_TUNER_ID": name}.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize(("name", "part"), [("chief", "chief"), ("worker0", "worker"), ("gpu3", "worker")])
def test_roles(monkeypatch: pytest.MonkeyPatch, name: str, part: str) -> None:
    assert role() == "alone"
    set_variables(monkeypatch, name)
    assert role() == part
    place = Place.of(None, None, None, 300)
    assert (place.is_here, place.address) == (False, ("10.0.0.1", 8000))


def test_half_of_the_variables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "10.0.0.1")
    with pytest.raises(InvalidArgumentError, match="Set all three variables, or none"):
        role()


def test_without_arguments_and_variables_a_search_trains_here() -> None:
    assert Place.of(None, None, None, 300).is_here
    assert not Place.of(2, None, None, 300).is_here
    assert not Place.of(None, "tcp://host:8786", {"GPU": 1}, 300).is_here


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, None, None, 300), "`workers` must be an integer >= 1"),
        ((2, "tcp://host:8786", None, 300), "`workers` and `cluster` exclude each other"),
        ((2, None, {"GPU": 1}, 300), "`resources` must be what a worker of `cluster` declares"),
        ((None, "tcp://host:8786", {"GPU": 0}, 300), "`resources` must map names to positive numbers"),
        ((None, "tcp://host:8786", ["GPU"], 300), "`resources` must map names to positive numbers"),
        ((2, None, None, -1), "`wait` must be a number of seconds >= 0"),
    ],
)
def test_a_place_that_cannot_be_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Place.of(*arguments)


def test_workers_are_not_combined_with_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, "worker0")
    with pytest.raises(InvalidArgumentError, match="`workers` cannot be combined with KerasTuner's environment"):
        Place.of(2, None, None, 300)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delitem(sys.modules, "keras_lr.search._distributed.dask_pool", raising=False)
    monkeypatch.delattr("keras_lr.search._distributed.dask_pool", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackageError, match=r'pip install "keras-lr\[dask\]"'):
        Place.of(2, None, None, 300).open(None, tmp_path, 0)
