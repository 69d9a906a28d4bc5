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
names_unknown_weights = pytest.mark.skipif(
    VERSION < (3, 11), reason="this Keras fails while it writes that the optimizer does not know a weight"
)
reads_sparse = pytest.mark.skipif(VERSION < (3, 11), reason="this Keras's `fit` fails on SciPy's sparse matrices")
prints_what_it_logs = pytest.mark.skipif(
    VERSION < (3, 11), reason="with `verbose=1` this Keras prints other losses than it logs"
)
needs_muon = pytest.mark.skipif(VERSION < (3, 13), reason="this Keras's Muon fails in `fit` on TensorFlow")
