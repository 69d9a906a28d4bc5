"""A range test under `MirroredStrategy` and in mixed precision."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from tests.fresh_process import run_fresh
from tests.training_models import all_values, plain_classifier


@pytest.fixture(scope="module")
def mirrored() -> Any:
    done = run_fresh("-m", "tests.range_test.mirrored_run", sets_up_devices=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.05), ("mixed_float16", 0.01)]
)
def test_two_replicas_measure_what_one_device_does(mirrored: Any, policy: str, tolerance: float) -> None:
    found = mirrored[policy]
    assert found["stop_reasons"] == ["completed"] * 3
    np.testing.assert_allclose(found["two"], found["one"], rtol=tolerance)
    np.testing.assert_allclose(found["in_fit"], found["two"], rtol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_every_replica_is_restored(mirrored: Any, policy: str) -> None:
    assert mirrored[policy]["values"] > mirrored[policy]["variables"]
    assert mirrored[policy]["restored"]


def test_a_falling_loss_scale_is_no_divergence(digits: Any) -> None:
    # A scale of 2**40 overflows float16, so that the first steps are skipped, each halving it.
    keras.config.set_dtype_policy("mixed_float16")
    try:
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**40)
        model = plain_classifier(optimizer)
        model.optimizer.build(model.trainable_variables)
        before = all_values(model)
        scales = []

        class Watch(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                scales.append(float(self.model.optimizer.dynamic_scale))

        result = keras_lr.find_lr(model, *digits, max_lr=1e-2, num_steps=40)
        for old, new in zip(before, all_values(model), strict=True):
            np.testing.assert_array_equal(old, new)
        model.fit(*digits, verbose=0, callbacks=[Watch()])
    finally:
        keras.config.set_dtype_policy("float32")
    assert scales[10] < 2.0**40 / 100
    assert result.stop_reason == "completed"
    assert len(result.losses) == 40
    assert np.ptp(result.losses[:8]) < 1.0
