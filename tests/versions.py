"""What some supported versions of Keras lack or get wrong themselves."""

from __future__ import annotations

import keras
import pytest

VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])

needs_multi_optimizer = pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has no MultiOptimizer"
)
needs_schedule_free = pytest.mark.skipif(
    not hasattr(keras.optimizers, "ScheduleFreeAdamW"), reason="this Keras has no ScheduleFreeAdamW"
)
needs_muon = pytest.mark.skipif(VERSION < (3, 13), reason="this Keras's Muon fails in `fit` on TensorFlow")
