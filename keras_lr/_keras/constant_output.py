"""The loss of the best constant output: what a network reaches that has learned nothing from its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# Probabilities are kept this far from 0 and 1, as Keras keeps them in its cross-entropies.
EPSILON = 1e-7
# Of more targets, evenly chosen ones are read.
MAX_SAMPLES = 20_000


def constant_output_loss(loss: Any, targets: Any) -> float | None:
    """The mean loss of the constant output with the lowest one.

    The constant comes from the targets in closed form: their mean for a squared error, their median for an absolute
    one, the frequencies of the classes for a cross-entropy. Keras's own loss is then evaluated on it.

    Args:
        loss: A Keras loss, its name, or its function.
        targets: As the loss takes them, shape `(n_samples, ...)`, n at least 1.

    Returns:
        In the loss's unit; None for a loss whose best constant is not known, and for targets that are not finite
        numbers.
    """
    values = _numbers(targets)
    if values is not None and len(values) > MAX_SAMPLES:
        values = values[:: -(-len(values) // MAX_SAMPLES)]
    found = _loss_object(loss)
    if values is None or found is None:
        return None
    constant = BEST_CONSTANTS[type(found).__name__](found, values)
    if constant is None:
        return None
    outputs = np.broadcast_to(constant, (len(values), *np.shape(constant))).astype("float32")
    mean = float(keras.ops.convert_to_numpy(found(values, outputs)))
    return mean if np.isfinite(mean) else None


def _numbers(targets: Any) -> np.ndarray | None:
    """The targets as an array of at least two dimensions, as `fit` gives them to a loss."""
    try:
        values = np.asarray(targets)
        finite = values.size > 0 and values.ndim > 0 and values.dtype.kind in "buif" and bool(np.isfinite(values).all())
    except (TypeError, ValueError):
        return None
    if not finite:
        return None
    return values[:, np.newaxis] if values.ndim == 1 else values


def _loss_object(loss: Any) -> Any:
    """The loss as an object that gives the mean over samples; None for one that is not in `BEST_CONSTANTS`."""
    if callable(loss) and not isinstance(loss, keras.losses.Loss):
        loss = getattr(loss, "__name__", "")
    if isinstance(loss, str):
        try:
            function = keras.losses.get(loss)
        except ValueError:
            return None
        loss = OF_FUNCTIONS.get(getattr(function, "__name__", ""), lambda: None)()
    if type(loss).__name__ not in BEST_CONSTANTS or type(loss).__module__.split(".")[0] != "keras":
        return None
    return type(loss).from_config({**loss.get_config(), "reduction": "sum_over_batch_size"})


def _mean(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=0))


def _median(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.median(values, axis=0))


def _probability(loss: Any, values: np.ndarray) -> np.ndarray:
    smoothing = loss.get_config().get("label_smoothing", 0.0)
    mean = values.mean(axis=0) * (1 - smoothing) + smoothing / 2
    mean = np.clip(mean, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(mean / (1 - mean)) if loss.get_config().get("from_logits") else mean)


def _class_frequencies(loss: Any, values: np.ndarray) -> np.ndarray | None:
    if values.shape[-1] < 2:
        return None
    smoothing = loss.get_config().get("label_smoothing", 0.0)
    frequencies = values.reshape(-1, values.shape[-1]).mean(axis=0) * (1 - smoothing) + smoothing / values.shape[-1]
    return _logs_if_needed(loss, frequencies)


def _label_frequencies(loss: Any, values: np.ndarray) -> np.ndarray | None:
    labels = values.astype(np.int64).ravel()
    if labels.min() < 0 or labels.size != len(values):
        return None
    return _logs_if_needed(loss, np.bincount(labels, minlength=2) / labels.size)


def _logs_if_needed(loss: Any, frequencies: np.ndarray) -> np.ndarray:
    kept = np.clip(frequencies, EPSILON, 1.0)
    return np.asarray(np.log(kept) if loss.get_config().get("from_logits") else kept)


BEST_CONSTANTS: dict[str, Callable[[Any, np.ndarray], np.ndarray | None]] = {
    "MeanSquaredError": _mean,
    "MeanAbsoluteError": _median,
    "BinaryCrossentropy": _probability,
    "CategoricalCrossentropy": _class_frequencies,
    "SparseCategoricalCrossentropy": _label_frequencies,
}
# The losses by the names of their functions, which `compile` also takes.
OF_FUNCTIONS: dict[str, Callable[[], Any]] = {
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
}
