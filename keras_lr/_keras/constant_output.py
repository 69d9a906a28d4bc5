"""The loss of the best constant output: what a network reaches that has learned nothing from its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_lr._keras.model import compile_arguments, layers_of, overridden
from keras_lr.analysis._statistics import LEAST_GAIN

# Probabilities are kept this far from 0 and 1, as Keras keeps them in its cross-entropies.
EPSILON = 1e-7
# Of more targets, evenly chosen ones are read.
MAX_SAMPLES = 20_000
# Weights of few samples are drawn with this precision.
MIN_DRAWN = 1_000
# What a loss does with the values of a batch if its mean is logged.
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
# Halvings of an interval that holds the best constant: beyond the precision of float64.
HALVINGS = 60
# An error beyond which Huber's loss is a straight line.
FAR = 1e6


def constant_loss_of(model: keras.Model, targets: Any, sample_weight: Any = None) -> float | None:
    """The loss that `model` logs if each of its outputs is the best constant and its regularizers cost nothing.

    Args:
        model: A compiled model.
        targets: As given to `fit`: an array, or a list or dict of them for several outputs.
        sample_weight: As given to `fit`.

    Returns:
        None if it is unknown: a loss without a known constant, a step that may log another loss, losses that layers
        add, places that are masked, or targets or weights that do not match the losses one by one.
    """
    losses = getattr(model, "loss", None)
    if losses is None or not _logs_its_losses(model) or _masks_places(model, targets):
        return None
    weights = compile_arguments(model).get("loss_weights")
    if isinstance(losses, (dict, list, tuple)) and len(losses) == 1 and not isinstance(targets, (dict, list, tuple)):
        (losses,) = losses.values() if isinstance(losses, dict) else losses
    if isinstance(targets, (dict, list, tuple)) and not isinstance(losses, (dict, list, tuple)):
        # A single loss is that of every output.
        losses = dict.fromkeys(targets, losses) if isinstance(targets, dict) else [losses] * len(targets)
    if isinstance(losses, dict) and isinstance(targets, dict) and losses.keys() <= targets.keys():
        given = weights if isinstance(weights, Mapping) else dict(zip(losses, weights or (), strict=False))
        parts = [(losses[name], targets[name], _weight(given.get(name))) for name in losses]
    elif isinstance(losses, (list, tuple)) and isinstance(targets, (list, tuple)) and len(losses) == len(targets):
        parts = list(zip(losses, targets, map(_weight, weights or [None] * len(losses)), strict=True))
    elif isinstance(losses, (dict, list, tuple)) or isinstance(targets, (dict, list, tuple)):
        return None
    else:
        parts = [(losses, targets, _weight(weights))]
    total = 0.0
    for loss, target, weight in parts:
        if loss is None:
            continue
        if weight is None or (found := constant_output_loss(loss, target, sample_weight)) is None:
            return None
        total += weight * found
    return total


def baseline_loss_of(model: keras.Model, targets: Any) -> float | None:
    """The loss of the best constant output; None if unknown, or if regularizers cost so much that they hide learning.

    With them, a model that has learned may log more than that.
    """
    constant = constant_loss_of(model, targets)
    return constant if constant is not None and regularizers_are_light(model, constant) else None


def regularizers_are_light(model: keras.Model, constant: float) -> bool:
    """Whether regularizers cost too little now to matter beside the loss of the best constant output."""
    return sum(float(weight.regularizer(weight)) for weight in regularized_weights(model)) <= LEAST_GAIN * abs(constant)


def regularized_weights(model: keras.Model) -> list[keras.Variable]:
    """The trainable weights whose regularizers add to the loss."""
    return [weight for weight in model.trainable_weights if weight.regularizer is not None]


def _logs_its_losses(model: keras.Model) -> bool:
    """Whether the logged loss consists of those given to `compile` and of what regularized weights cost."""
    own_code = overridden(model, ["train_step", "compute_loss"]) or any(map(_adds_losses, layers_of(model)))
    return not own_code and len(model.losses) == len(regularized_weights(model))


def _adds_losses(layer: keras.Layer) -> bool:
    """Whether a layer adds to the loss when it is called, as far as that is known before."""
    code = getattr(type(layer).call, "__code__", None)
    return layer.activity_regularizer is not None or "add_loss" in getattr(code, "co_names", ())


def _masks_places(model: keras.Model, targets: Any) -> bool:
    """Whether the loss may leave out places of a sequence."""
    if not any(
        getattr(layer, "mask_zero", False) or isinstance(layer, keras.layers.Masking) for layer in layers_of(model)
    ):
        return False
    shapes = [np.shape(target) for target in keras.tree.flatten(targets)]
    shapes += [output.shape for output in keras.tree.flatten(getattr(model, "outputs", None) or [])]
    return any(len(shape) > 2 for shape in shapes)


def _weight(given: Any) -> float | None:
    """The weight of a loss, also one in a list or a variable; None if it is something else."""
    if isinstance(given, (list, tuple)) and len(given) == 1:
        given = given[0]
    try:
        return 1.0 if given is None else float(given)
    except (TypeError, ValueError):
        return None


def constant_output_loss(loss: Any, targets: Any, sample_weight: Any = None) -> float | None:
    """The mean loss of the constant output with the lowest one.

    The constant comes from the targets: their mean for a squared error, counts and distributions, their median for an
    absolute one, their mean direction, their signs for a hinge, the frequencies of the classes for a cross-entropy, and
    what balances the slopes for Huber and log-cosh. Keras's own loss is then evaluated on it.

    Args:
        loss: A Keras loss, its name, or its function.
        targets: As the loss takes them, shape `(n_samples, ...)`, n at least 1.
        sample_weight: Weights of the samples, at least 0; None if they weigh the same.

    Returns:
        In the loss's unit; None for a loss whose best constant is not known or that sums over the samples, for targets
        that are not finite numbers, and for weights that are not one number per sample.
    """
    values, found, scale = _numbers(targets), _loss_object(loss), 1.0
    if values is None or found is None or found.reduction not in MEANS:
        return None
    if sample_weight is not None:
        weights = _numbers(sample_weight)
        if weights is None or weights.shape != (len(values), 1) or weights.min() < 0 or not weights.any():
            return None
        values = values[_drawn_by_weight(weights.ravel())]
        scale = 1.0 if found.reduction == "mean_with_sample_weight" else float(weights.mean())
    if len(values) > MAX_SAMPLES:
        values = values[:: -(-len(values) // MAX_SAMPLES)]
    constant = BEST_CONSTANTS[type(found).__name__](found, values)
    if constant is None:
        return None
    counts = None
    if values.shape[1:] == (1,):
        # Labels are few, however many samples there are.
        values, counts = np.unique(values, return_counts=True)
        values = values[:, np.newaxis]
    # The frequencies of one-hot classes hold for every place of a sequence or an image.
    places = values.shape[: values.ndim - constant.ndim] or (len(values),)
    outputs = np.broadcast_to(constant, (*places, *constant.shape)).astype("float32")
    mean = _mean_loss(found, values, outputs, counts) * scale
    return mean if np.isfinite(mean) else None


def _drawn_by_weight(weights: np.ndarray) -> np.ndarray:
    """Places of samples, each as often as its share of the weights asks for."""
    count = max(len(weights), MIN_DRAWN)
    shares = np.cumsum(weights, dtype=np.float64)
    return np.asarray(np.searchsorted(shares, (np.arange(count) + 0.5) / count * shares[-1]))


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
    """The loss as an object; None for one that is not in `BEST_CONSTANTS`."""
    try:
        loss = keras.losses.get(loss)
    except ValueError:
        return None
    name = getattr(loss, "__name__", "")
    # A function of the user's own may have the name of one of Keras's.
    if name in OF_FUNCTIONS and loss is keras.losses.get(name):
        loss = OF_FUNCTIONS[name]()
    if type(loss).__name__ not in BEST_CONSTANTS or type(loss).__module__.split(".")[0] != "keras":
        return None
    return loss


def _mean_loss(loss: Any, values: np.ndarray, outputs: np.ndarray, counts: np.ndarray | None = None) -> float:
    """The mean over the samples, whatever the loss reduces its values to; `counts` says how often each occurs."""
    found = loss.call(*(keras.ops.convert_to_tensor(part, "float32") for part in (values, outputs)))
    found = keras.ops.convert_to_numpy(found)
    return float(np.average(found.reshape(len(found), -1).mean(axis=1), weights=counts))


def _mean(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=0))


def _median(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.median(values, axis=0))


def _relative_median(_loss: Any, values: np.ndarray) -> np.ndarray | None:
    if values.ndim != 2:
        return None
    weights = 1 / np.maximum(np.abs(values), EPSILON)
    columns = zip(values.T, weights.T, strict=True)
    return np.array([np.median(column[_drawn_by_weight(weight)]) for column, weight in columns])


def _mean_direction(_loss: Any, values: np.ndarray) -> np.ndarray | None:
    # The axis of the directions cannot be read off the loss; with two there is no choice.
    return np.asarray(keras.utils.normalize(values).mean(axis=0)) if values.ndim == 2 else None


def _more_frequent_sign(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.where((values > 0).mean(axis=0) > 0.5, 1.0, -1.0)


def _mean_of_signs(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(values > 0, 1.0, -1.0).mean(axis=0))


def _mean_of_logs(_loss: Any, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.expm1(np.log1p(np.maximum(values, 0.0)).mean(axis=0)))


def _huber(loss: Any, values: np.ndarray) -> np.ndarray:
    # Its configuration does not hold `delta`, which is the slope far from the target.
    zero = np.zeros((1, 1))
    delta = (_mean_loss(loss, zero, zero + 2 * FAR) - _mean_loss(loss, zero, zero + FAR)) / FAR
    return _balanced(values, lambda errors: np.clip(errors, -delta, delta))


def _log_cosh(_loss: Any, values: np.ndarray) -> np.ndarray:
    return _balanced(values, np.tanh)


def _balanced(values: np.ndarray, slope: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Where the mean slope of a convex loss is 0, found by halving the interval that the targets span."""
    values = values.astype(np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = slope(values - middle).mean(axis=0) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((low + high) / 2)


def _probability(loss: Any, values: np.ndarray) -> np.ndarray:
    smoothing = _setting(loss, "label_smoothing", 0.0)
    mean = values.mean(axis=0) * (1 - smoothing) + smoothing / 2
    mean = np.clip(mean, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(mean / (1 - mean)) if _setting(loss, "from_logits") else mean)


def _class_frequencies(loss: Any, values: np.ndarray) -> np.ndarray | None:
    if values.shape[-1] < 2 or _setting(loss, "axis", -1) != -1:
        return None
    smoothing = _setting(loss, "label_smoothing", 0.0)
    frequencies = values.reshape(-1, values.shape[-1]).mean(axis=0) * (1 - smoothing) + smoothing / values.shape[-1]
    return _logs_if_needed(loss, frequencies)


def _label_frequencies(loss: Any, values: np.ndarray) -> np.ndarray | None:
    labels = values.astype(np.int64).ravel()
    if labels.min() < 0 or labels.size != len(values) or _setting(loss, "ignore_class") is not None:
        return None
    if _setting(loss, "label_smoothing"):
        # It depends on the number of classes, which the labels do not tell.
        return None
    return _logs_if_needed(loss, np.bincount(labels, minlength=2) / labels.size)


def _setting(loss: Any, name: str, default: Any = None) -> Any:
    """A setting of a loss, which Keras keeps as an attribute, in the configuration, or in both, by its version."""
    return getattr(loss, name, loss.get_config().get(name, default))


def _logs_if_needed(loss: Any, frequencies: np.ndarray) -> np.ndarray:
    kept = np.clip(frequencies, EPSILON, 1.0)
    return np.asarray(np.log(kept) if _setting(loss, "from_logits") else kept)


BEST_CONSTANTS: dict[str, Callable[[Any, np.ndarray], np.ndarray | None]] = {
    "MeanSquaredError": _mean,
    "MeanAbsoluteError": _median,
    "MeanSquaredLogarithmicError": _mean_of_logs,
    "MeanAbsolutePercentageError": _relative_median,
    "Poisson": _mean,
    "KLDivergence": _mean,
    "CosineSimilarity": _mean_direction,
    "Hinge": _more_frequent_sign,
    "SquaredHinge": _mean_of_signs,
    "Huber": _huber,
    "LogCosh": _log_cosh,
    "BinaryCrossentropy": _probability,
    "CategoricalCrossentropy": _class_frequencies,
    "SparseCategoricalCrossentropy": _label_frequencies,
}
# The losses by the names of their functions, which `compile` also takes.
OF_FUNCTIONS: dict[str, Callable[[], Any]] = {
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
    "mean_squared_logarithmic_error": keras.losses.MeanSquaredLogarithmicError,
    "mean_absolute_percentage_error": keras.losses.MeanAbsolutePercentageError,
    "poisson": keras.losses.Poisson,
    "kl_divergence": keras.losses.KLDivergence,
    "cosine_similarity": keras.losses.CosineSimilarity,
    "hinge": keras.losses.Hinge,
    "squared_hinge": keras.losses.SquaredHinge,
    "huber": keras.losses.Huber,
    "log_cosh": keras.losses.LogCosh,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
}
