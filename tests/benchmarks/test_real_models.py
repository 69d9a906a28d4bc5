"""What `benchmarks/real_models.py` measures is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import keras_lr


def test_the_profile_watches_functions_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(keras_lr.__file__).parents[1] / "benchmarks"), *sys.path])
    import real_models

    for places in real_models.PARTS.values():
        for owner, attribute in places:
            assert callable(getattr(owner, attribute))
