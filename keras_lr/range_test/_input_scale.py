"""Tells inputs on a scale at which the usual range of learning rates does not hold."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.model import layers_of
from keras_lr._keras.tf_data import independent

LARGE = 5.0
SMALL = 0.1
SMALL_PEAK = 0.5
MAX_SAMPLES = 256
_RESCALING = tuple(
    getattr(keras.layers, name)
    for name in ("Rescaling", "Normalization", *(name for name in dir(keras.layers) if name.endswith("Normalization")))
    if name != "SpectralNormalization"
)
"""Layers whose outputs have another scale than their inputs, once they are adapted or trained."""

_WHOLE = (keras.layers.RNN, keras.layers.TimeDistributed)
"""Layers that do not call the layer that holds their weights on the tensor they are given."""

_read_datasets: weakref.WeakSet[tf.data.Dataset] = weakref.WeakSet()


def input_scale_warning(model: keras.Model, x: Any) -> str | None:
    """What to warn of if inputs that are neither near [0, 1] nor standardised meet the model's first weights.

    If the inputs look so, the model is called on them, and what reaches each layer with weights is compared with them.
    So a label that only a loss layer uses, a token that is looked up, an image that a layer rescales first, or one that
    only frozen weights meet says nothing. Generators are not read, since that would lose a batch. A `tf.data.Dataset`
    is read once per process, since its first batch may have to fill a shuffle buffer.

    Args:
        model: A compiled model, whose state the caller restores.
        x: Any input of `model.fit`.
    """
    try:
        inputs = _first_inputs(x)
        for name, values in _named_inputs(inputs):
            if (finding := scale_finding(values)) is not None and _meets_weights(model, inputs, values):
                return (
                    f"The inputs{name} {finding}: they are neither near [0, 1] nor standardised, so the usual learning "
                    "rates from 1e-6 to 1 may not apply. Divide pixels by 255, standardise features, or begin the "
                    "model with keras.layers.Normalization or Rescaling."
                )
    except Exception:
        # The range test itself reports data and models that fail. Sparse tensors cannot be sliced.
        return None
    return None


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


def _meets_weights(model: keras.Model, inputs: Any, values: np.ndarray) -> bool:
    """Whether a layer multiplies its weights with values that look wrong and are among `values`."""
    with _recorded_calls(model) as calls:
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs), training=False)
    return any(
        scale_finding(tensor) is not None
        and np.isin(np.abs(tensor).max(), np.abs(values.astype(tensor.dtype)))
        and _multiplies_weights(layer, tensor)
        for layer, tensors in calls
        for tensor in tensors
    )


@contextlib.contextmanager
def _recorded_calls(model: keras.Model) -> Iterator[list[tuple[Any, list[np.ndarray]]]]:
    """Collects what each layer is called on within the block.

    A layer that rescales gives zeros instead, since its weights may not have been trained yet.
    """
    calls: list[tuple[Any, list[np.ndarray]]] = []
    layers = [layer for layer in layers_of(model) if not isinstance(layer, keras.Model)]
    for layer in layers:
        record = _call_for_zeros if isinstance(layer, _RESCALING) else functools.partial(_record_and_call, calls, layer)
        vars(layer)["call"] = functools.partial(record, layer.call)
    try:
        yield calls
    finally:
        for layer in layers:
            del vars(layer)["call"]


def _call_for_zeros(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return keras.tree.map_structure(keras.ops.zeros_like, call(*args, **kwargs))


def _record_and_call(calls: list[Any], layer: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    by_keras = _is_of_keras(layer)
    tensors = []
    for tensor in keras.tree.flatten((args, kwargs)):
        # A tensor that is being traced has no values.
        with contextlib.suppress(NotImplementedError):
            values = np.asarray(tensor) if isinstance(tensor, tf.Tensor) else np.empty(0)
            if by_keras or not _may_be_labels(values):
                tensors.append(values)
    calls.append((layer, tensors))
    return call(*args, **kwargs)


def _may_be_labels(values: np.ndarray) -> bool:
    """Whether a user's own layer may look the values up or compare with them, instead of multiplying them."""
    single = values.ndim < 2 or values.shape[-1] == 1
    return values.dtype.kind in "biu" or (single and bool((values == np.round(values)).all()))


def _multiplies_weights(layer: Any, values: np.ndarray) -> bool:
    """Whether a layer trains weights that it multiplies with `values`, as far as can be told from their shapes.

    A layer of the user's own may also normalise or look up, and needs a matrix or kernel for the last axis of `values`.
    """
    if isinstance(layer, keras.layers.Embedding):
        return False
    if not isinstance(layer, _WHOLE) and any(part.weights for part in layers_of(layer, include_self=False)):
        return False
    if _is_of_keras(layer):
        return bool(layer.trainable_weights)
    size = values.shape[-1] if values.ndim > 1 else 1
    return any(len(weight.shape) > 1 and size in weight.shape[-2:] for weight in layer.trainable_weights)


def _is_of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def _named_inputs(inputs: Any) -> list[tuple[str, np.ndarray]]:
    """The arrays of one batch, each with its key if the inputs are a dict."""
    if isinstance(inputs, dict):
        return [(f" {key!r}", array) for key, part in inputs.items() for array in _arrays(part)]
    return [("", array) for array in _arrays(inputs)]


def _first_inputs(x: Any) -> Any:
    """The inputs of some of the first samples, in the structure that the model takes."""
    if isinstance(x, tf.data.Dataset):
        if x in _read_datasets:
            return None
        _read_datasets.add(x)
        x = _inputs_of(next(iter(independent(x).take(1)), None))
    elif isinstance(x, keras.utils.PyDataset):
        x = _inputs_of(x[0]) if x.num_batches else None
    return keras.tree.map_structure(_first_samples, x)


def _inputs_of(batch: Any) -> Any:
    return batch[0] if isinstance(batch, tuple) else batch


def _first_samples(leaf: Any) -> Any:
    return np.asarray(leaf[:MAX_SAMPLES]) if len(getattr(leaf, "shape", ())) > 0 else leaf


def _arrays(part: Any) -> list[np.ndarray]:
    return [leaf for leaf in keras.tree.flatten(part) if isinstance(leaf, np.ndarray)]
