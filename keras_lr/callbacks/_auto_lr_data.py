"""What `AutoLR` looks up in the data of a running `fit`, if they are arrays, and in a batch of other data."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_lr._keras.batches import ArrayStream
from keras_lr._keras.model import forward, is_distributed
from keras_lr._keras.running_fit import epoch_iterator_of_fit
from keras_lr._keras.snapshot import RandomState, VariableSnapshot, seed_variables
from keras_lr.range_test._data_checks import find_bad_value

CONSTANT_FRACTION = 1e-5
"""Outputs that differ by at most this fraction of their size are the same but for rounding."""


def data_fault_of_fit(model: keras.Model) -> str:
    """Says where the arrays of the `fit` that is calling hold NaN or infinity; empty if they do not, or are none."""
    stream = _array_stream(model)
    if stream is None:
        return ""
    bad = find_bad_value(*keras.utils.unpack_x_y_sample_weight(stream.arrays))
    return "" if bad is None else str(bad)


def outputs_are_constant(model: keras.Model, sample: Any = None) -> bool:
    """Whether the model gives the same output for all inputs of a batch, although their targets differ.

    Args:
        model: The model whose `fit` is calling.
        sample: A batch, for data that are not arrays.
    """
    stream = _array_stream(model)
    batch = sample if stream is None else stream.first_batch()
    if batch is None or is_distributed(model):
        return False
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if not any(_varies(target, 0.0) for target in keras.tree.flatten(y)):
        return False
    random_state, seeds = RandomState(), VariableSnapshot(seed_variables(model))
    try:
        outputs = keras.tree.flatten(forward(model, x, training=False))
        return bool(outputs) and not any(_varies(output, CONSTANT_FRACTION) for output in outputs)
    except Exception:
        # A model whose `train_step` alone understands the data, or that cannot be called on its own.
        return False
    finally:
        seeds.restore()
        random_state.restore()


def _array_stream(model: keras.Model) -> ArrayStream | None:
    epochs = epoch_iterator_of_fit(model)
    if epochs is None or not ArrayStream.serves(epochs.data_adapter, 1):
        return None
    return ArrayStream(epochs.data_adapter)


def _varies(values: Any, fraction: float) -> bool:
    """Whether the rows differ by more than a fraction of the largest value; also if one is not finite."""
    if values is None:
        return False
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or not array.size:
        return False
    return not np.ptp(array, axis=0).max() <= fraction * np.abs(array).max()
