"""Warns about inputs on a scale at which the usual range of learning rates does not hold."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.model import layers_of
from keras_lr._keras.snapshot import RandomState, VariableSnapshot
from keras_lr._keras.tf_data import independent, pipeline_variables

LARGE = 5.0
SMALL = 0.1
SMALL_PEAK = 0.5
MAX_SAMPLES = 256
_RESCALING = (
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
)
_LOOKUPS = (keras.layers.Embedding, keras.layers.CategoryEncoding, keras.layers.Hashing, keras.layers.Discretization)
_read_datasets: weakref.WeakSet[tf.data.Dataset] = weakref.WeakSet()


def warn_of_input_scale(model: keras.Model, x: Any, *, stacklevel: int = 2) -> None:
    """Warns once if inputs are neither near [0, 1] nor standardised, which shifts the usual learning rates.

    Exempt are integers that the model looks up, inputs that its first layers rescale, and generators, which cannot be
    read without losing a batch. A `tf.data.Dataset` is read once per process, since its first batch may have to fill a
    shuffle buffer.

    Args:
        model: A compiled model.
        x: Any input of `model.fit`.
        stacklevel: As in `warnings.warn`, counted from the caller.
    """
    layers = _first_layers(model)
    if any(isinstance(layer, _RESCALING) for layer in layers):
        return
    looked_up = any(isinstance(layer, _LOOKUPS) for layer in layers_of(model))
    for name, values in _named_inputs(x):
        if looked_up and values.dtype.kind in "iu":
            continue
        if (finding := scale_finding(values)) is not None:
            warnings.warn(
                f"The inputs{name} {finding}: they are neither near [0, 1] nor standardised, so the usual learning "
                "rates from 1e-6 to 1 may not apply. Divide pixels by 255, standardise features, or begin the model "
                "with keras.layers.Normalization or Rescaling.",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
            return


def scale_finding(values: np.ndarray) -> str | None:
    """What is wrong with the scale of one batch, as a verb phrase; None if nothing is.

    A feature's root mean square is 1 if it is standardised, and at most 1 if it lies in [0, 1].

    Args:
        values: Shape `(n_samples, ..., n_features)`, or `(n_samples,)` for one feature.
    """
    if values.dtype.kind not in "iuf" or values.size == 0:
        return None
    numbers = np.asarray(values, dtype=np.float64)
    features = numbers.reshape(-1, numbers.shape[-1] if numbers.ndim > 1 else 1)
    magnitudes = np.abs(np.where(np.isfinite(features), features, 0.0))
    peak, largest = float(magnitudes.max()), float(np.sqrt((magnitudes**2).mean(axis=0)).max())
    if largest > LARGE:
        return f"reach {peak:.3g}"
    if 0 < peak < SMALL_PEAK and largest < SMALL:
        return f"stay within {peak:.2g} of zero"
    return None


def _first_layers(model: keras.Model) -> list[Any]:
    """The layers up to and including the first one with weights."""
    first = []
    for layer in layers_of(model, include_self=False, recursive=False):
        first.append(layer)
        if layer.weights:
            break
    return first


def _named_inputs(x: Any) -> list[tuple[str, np.ndarray]]:
    """The arrays of one batch, each with its key if the inputs are a dict."""
    try:
        batch = _first_inputs(x)
        if isinstance(batch, dict):
            return [(f" {key!r}", array) for key, part in batch.items() for array in _arrays(part)]
        return [("", array) for array in _arrays(batch)]
    except Exception:
        # The range test itself reports data that fail. Sparse tensors cannot be sliced.
        return []


def _first_inputs(x: Any) -> Any:
    if isinstance(x, tf.data.Dataset):
        if x in _read_datasets:
            return None
        _read_datasets.add(x)
        pipeline = VariableSnapshot(pipeline_variables(x))
        try:
            return _inputs_of(next(iter(independent(x)), None))
        finally:
            pipeline.restore()
    if isinstance(x, keras.utils.PyDataset):
        random_state = RandomState()
        try:
            return _inputs_of(x[0]) if x.num_batches else None
        finally:
            random_state.restore()
    return x


def _inputs_of(batch: Any) -> Any:
    return batch[0] if isinstance(batch, tuple) else batch


def _arrays(part: Any) -> list[np.ndarray]:
    leaves = keras.tree.flatten(part)
    return [np.asarray(leaf[:MAX_SAMPLES]) for leaf in leaves if hasattr(leaf, "shape") and len(leaf.shape) > 0]
