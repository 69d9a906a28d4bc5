"""The optimizers that `benchmarks/autolr.py` compares with move as the published packages do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_lr

REFERENCES = json.loads((Path(__file__).parent / "references.json").read_text(encoding="utf-8"))


@pytest.fixture
def rivals(monkeypatch: Any) -> Any:
    monkeypatch.setattr(sys, "path", [str(Path(keras_lr.__file__).parents[1] / "benchmarks"), *sys.path])
    import _autolr_rivals

    return _autolr_rivals


class Listed(keras.optimizers.schedules.LearningRateSchedule):
    """The rates of a list."""

    def __call__(self, step: Any) -> Any:
        return ops.take(ops.convert_to_tensor(REFERENCES["cosine"], "float32"), ops.cast(step, "int32"))

    def get_config(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("name", ["Prodigy", "Mechanic"])
def test_a_quadratic_is_minimized_as_by_optax(rivals: Any, name: str) -> None:
    optimizer = getattr(rivals, name)(Listed())
    weights = [keras.Variable(np.array(REFERENCES["start"][part], "float32")) for part in "ab"]
    curvature = [np.array(REFERENCES["curvature"][part], "float32") for part in "ab"]
    optimizer.build(weights)
    # Rounding differs between the two and grows a thousandfold in each further fifty steps.
    for step in range(len(REFERENCES["cosine"])):
        swing = np.float32(np.sin(2.1 * step))
        grads = [
            curve * (ops.convert_to_numpy(weight) - 1) + swing for curve, weight in zip(curvature, weights, strict=True)
        ]
        optimizer.apply(grads, weights)
        place, rest = divmod(step + 1, REFERENCES["kept"])
        for part, weight in zip("ab", weights, strict=True) if rest == 0 else ():
            expected = np.array(REFERENCES[name][part][place - 1])
            np.testing.assert_allclose(ops.convert_to_numpy(weight), expected, rtol=1e-3, atol=1e-4)
    travelled = np.abs(np.array(REFERENCES[name]["a"][-1]) - REFERENCES["start"]["a"]).max()
    assert travelled > 0.1, "the reference would prove nothing"
