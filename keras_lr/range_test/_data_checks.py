"""What is wrong with the data, whatever the learning rate: values that are not finite, labels that no class has.

Each check returns a sentence for the user, or None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from keras_lr._keras.learning_rate import iterations_of, leaf_optimizers
from keras_lr._keras.model import is_built, is_own_step, overridden, trace_step
from keras_lr._keras.snapshot import RandomState, components
from keras_lr._utils.formatting import short_error_message
from keras_lr.errors import DataError, ModelError

PARTS = ("inputs", "targets", "sample weights")
KINDS = ("NaN", "infinite values")

_BLOCK_VALUES = 2**22
"""Values that are looked at together, so that no large temporary array is made."""

OUTPUT_RANGES = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("relu", "softplus", "exponential"), (0.0, math.inf)),
}
"""The lowest and the highest output of an activation, by its name."""

OUTSIDE = 0.01
"""A target that lies so little outside of them is rounding."""

LARGE_TARGET = 1e4
"""Targets of this size count as unscaled."""

LOSSES_OF_LABELS = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "categorical_generalized_cross_entropy",
    "poisson",
    "ctc",
)
"""Losses whose targets need not be values that the output takes."""

_TO_SWEEP = (
    "To sweep one of them, set `model.optimizer = model.{name}` and name the loss that it lowers by `monitor`; the "
    "others train at their own rates."
)

_LABEL_ERROR = re.compile(r"[Rr]eceived a label value of (-?\d+) which is outside the valid range of \[0, (\d+)\)")

_WIDTH_ERROR = re.compile(
    r"expected axis (?P<axis>-?\d+) of input shape to have value (?P<size>\d+), but received input with shape "
    r"[(\[](?P<received>[^)\]]*)[)\]]|expected shape(?:=| )\((?P<expected>[^)]*)\), "
    r"(?:found shape=|but input has incompatible shape )\((?P<found>[^)]*)\)",
    re.IGNORECASE,
)


_CAST_FROM_NAN = (-(2**63), -(2**31))
"""What a label that is NaN becomes as an integer."""


@dataclass(frozen=True)
class BadValue:
    """The first value that is not finite.

    Attributes:
        part: "inputs", "targets" or "sample weights".
        kind: "NaN" or "infinite values".
        place: "row" in arrays, "batch" in other data.
        index: Which row or batch, from 0.
    """

    part: str
    kind: str
    place: str
    index: int

    def __str__(self) -> str:
        return f"The {self.part} hold {self.kind}, first in {self.place} {self.index} (counted from 0)."


def find_bad_value(x: Any, y: Any = None, sample_weight: Any = None) -> BadValue | None:
    """The first NaN or infinite value of arrays, frames or tensors, in the inputs, else the targets, else the weights.

    Memory-mapped arrays are not read.

    Args:
        x: Arrays of shape `(n_samples, ...)`, or lists, tuples or dicts of them.
        y: As `x`, or None.
        sample_weight: As `x`, or None.
    """
    for part, values in zip(PARTS, (x, y, sample_weight), strict=True):
        found = [one for leaf in keras.tree.flatten(values) if (one := _first_bad_row(leaf)) is not None]
        if found:
            row, kind = min(found)
            return BadValue(part, kind, "row", row)
    return None


def find_bad_value_in_batches(batches: Iterable[Any]) -> BadValue | None:
    """The first NaN or infinite value among batches `x`, `(x, y)` or `(x, y, sample_weight)`."""
    for index, batch in enumerate(batches):
        bad = find_bad_value(*(batch if isinstance(batch, tuple) else (batch,)))
        if bad is not None:
            return BadValue(bad.part, bad.kind, "batch", index)
    return None


def find_label_fault(model: keras.Model, y: Any) -> str | None:
    """Says which label is missing or none of the model's classes, for a sparse cross-entropy of arrays.

    Args:
        model: A compiled model; built, or nothing is known of its classes.
        y: The targets as given to `fit`.
    """
    for loss, target, classes in _outputs(model, y):
        values = _numbers(target)
        if classes is None or not is_loss(loss, "sparse_categorical_crossentropy") or values is None:
            continue
        ignored = loss.get_config().get("ignore_class") if isinstance(loss, keras.losses.Loss) else None
        missing = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        if missing.size:
            return _missing_label(classes, where=f", first in row {missing[0]} (counted from 0)")
        labels = values if ignored is None else values[values != ignored]
        if labels.size and not (labels.min() >= 0 and labels.max() < classes):
            return label_sentence(int(labels.max() if labels.max() >= classes else labels.min()), classes)
    return None


def label_sentence(label: int, classes: int) -> str:
    """Says that a label is outside the classes, and what to do."""
    remedy = (
        f"Give the last layer {label + 1} units, or map the labels to 0, 1, 2 and so on."
        if label >= classes
        else "Map the labels to 0, 1, 2 and so on, or pass `ignore_class` to the loss."
    )
    return (
        f"`y` must hold labels from 0 to {classes - 1}, since the model has {classes} outputs. Received the label "
        f"{label}. {remedy}"
    )


def label_error(error: BaseException) -> str | None:
    """The sentence for the error of a training step that met a label outside the classes."""
    found = _LABEL_ERROR.search(str(error))
    if found is None:
        return None
    label, classes = int(found[1]), int(found[2])
    return _missing_label(classes) if label in _CAST_FROM_NAN else label_sentence(label, classes)


def _missing_label(classes: int, *, where: str = "") -> str:
    return (
        f"`y` must hold labels from 0 to {classes - 1}. Received a missing one{where}. Remove such samples, or fill in "
        "their labels."
    )


def find_target_fault(model: keras.Model, y: Any) -> str | None:
    """Why no learning rate can be read off the targets: all are equal, or outside those of a cross-entropy.

    Targets of a loss that the user has written, or beside a loss that a layer adds, are often a dummy and pass.

    Args:
        model: A compiled model.
        y: The targets as given to `fit`, as arrays.
    """
    limits = [(loss, _limits(target)) for loss, target, _ in _outputs(model, y)]
    return target_fault_of(model, [(loss, *found) for loss, found in limits if found is not None])


def target_fault_of(model: keras.Model, limits: list[tuple[Any, float, float]]) -> str | None:
    """As `find_target_fault`, from the loss and the lowest and highest target of each output."""
    if not limits or not all(_is_of_keras(loss) for loss, _, _ in limits) or model.losses:
        return None
    for loss, low, high in limits:
        if _takes_shares(loss) and low < 0:
            return (
                f"The targets reach from {low:g} to {high:g}, but categorical cross-entropy takes shares from 0 on. "
                "Below 0 its loss falls without end. Pass a row of shares per sample, such as a one-hot label."
            )
        if _is_binary(loss) and (low < 0 or high > 1):
            return (
                f"The targets reach from {low:g} to {high:g}, but binary cross-entropy takes labels from 0 to 1. "
                "Beyond them its loss falls without end. Map the labels to 0 and 1."
            )
    if all(low == high for _, low, high in limits):
        return (
            f"All targets are {limits[0][1]:g}: the model can only learn this constant, which says nothing about the "
            "learning rate. Check `y`."
        )
    return None


def output_advice(model: keras.Model, limits: tuple[float, float] | None) -> list[str]:
    """What to change about the output of a model or its targets before anything is trained, a text each.

    Args:
        model: A compiled model, built. Only one with a single output and a loss of Keras is looked at.
        limits: The lowest and the highest target; None if unknown.
    """
    losses = losses_of(model)
    if len(losses) != 1 or not _is_of_keras(losses[0]) or len(_shape_of_outputs(model)) != 1 or not model.layers:
        return []
    name = _activation_of(model.layers[-1]) if _gives_the_output(model, model.layers[-1]) else ""
    units = _classes(next(iter(_shape_of_outputs(model).values())))
    if name == "softmax" and units == 1:
        return [
            "The last layer is a softmax over a single unit, whose output is always 1, so nothing is learned. Use a "
            "sigmoid, or one unit per class."
        ]
    if limits is None or any(is_loss(losses[0], kind) for kind in LOSSES_OF_LABELS):
        return []
    low, high = limits
    least, most = OUTPUT_RANGES.get(name, (-math.inf, math.inf))
    if low < least - OUTSIDE or high > most + OUTSIDE:
        reach = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of at least {least:g}"
        return [
            f"The targets reach from {low:g} to {high:g}, but the last layer's {name} gives only values {reach}. "
            "Remove that activation, or scale the targets."
        ]
    if max(abs(low), abs(high)) >= LARGE_TARGET:
        return [
            f"The targets reach {max(abs(low), abs(high)):.3g}: losses and gradients are huge at first, and a rate "
            "that survives them is too low later. Scale the targets to a mean of 0 and a standard deviation of 1."
        ]
    return []


def own_loop_advice(model: keras.Model) -> list[str]:
    """That a model which trains by a loop of its own may train otherwise than it was measured; empty for any other."""
    return [
        f"The model trains by a `{name}` of its own, but a range test measures its `train_step`. Compare the suggested "
        "rate with others by `fit`."
        for name in overridden(model, ["make_train_function"])
    ]


def own_fit_advice(model: keras.Model) -> str | None:
    """That a `fit` of the model's own may train on other data than those that were measured; None for any other."""
    if not overridden(model, ["fit"]):
        return None
    return (
        "The model has a `fit` of its own, but `find_lr` trains by its `train_step` on the data as they are. If that "
        "`fit` prepares the data or the model, pass `LRRangeTest` to it as a callback instead."
    )


def own_fit_needed(model: keras.Model, error: BaseException) -> str | None:
    """The sentence for a failed step of a model that has a `fit` of its own; None for any other model."""
    if not overridden(model, ["fit"]):
        return None
    return (
        "`model` must be able to train without its own `fit`, which a range test does not call, since it may build the "
        f"model or prepare the data. Received one whose step fails: {short_error_message(error)}. Pass `LRRangeTest` "
        "to that `fit` as a callback."
    )


def lost_values_advice(model: keras.Model) -> str:
    """What to do about an optimizer whose `build` assigns values that `fit` loses."""
    name = type(leaf_optimizers(model.optimizer)[0]).__name__
    return (
        f"`{name}` begins with values that it computes when it is built, such as a copy of the weights. Keras loses "
        "them where `fit` builds the optimizer, and trains with others. The range test measures that training. Call "
        "`model.optimizer.build(model.trainable_variables)` right after `compile`, and test again."
    )


def _gives_the_output(model: keras.Model, layer: Any) -> bool:
    try:
        return layer.output is model.outputs[0]
    except (AttributeError, ValueError):
        return False


def _activation_of(layer: Any) -> str:
    """The name of the function that a layer's outputs have gone through; empty without one."""
    if isinstance(layer, (keras.layers.Softmax, keras.layers.ReLU)):
        return type(layer).__name__.lower()
    inner = layer.activation if isinstance(layer, keras.layers.Activation) else getattr(layer, "activation", None)
    return str(getattr(inner, "__name__", ""))


def limits_of_targets(y: Any) -> tuple[float, float] | None:
    """The lowest and the highest value of a single array of targets; None for anything else."""
    return None if isinstance(y, (dict, list, tuple)) else _limits(y)


def losses_of(model: keras.Model) -> list[Any]:
    """The compiled loss of each output, as it was given."""
    return [loss for loss in keras.tree.flatten(getattr(model, "loss", None)) if loss is not None]


def explain_first_step(
    model: keras.Model, error: Exception, *, x: Any, y: Any, of_dataset: bool, label_remedy: str = ""
) -> str | None:
    """What the user has forgotten, if that is why the first training step of a model failed.

    Args:
        model: A compiled model.
        error: What the step raised.
        x: The inputs of a batch or their `tf.TensorSpec`s.
        y: The targets, or None if there are none.
        of_dataset: Whether the data are a `tf.data.Dataset` or a generator, not arrays.
        label_remedy: What to do about labels of another form than the loss takes; empty to name the loss for them.
    """
    text = str(error)
    if y is None and losses_of(model) and not is_own_step(model) and "None" in text:
        given = "`x` must yield (inputs, targets)" if of_dataset else "`y` must be given"
        several = isinstance(x, (list, tuple)) and len(x) == 2 and not of_dataset
        remedy = "Pass the targets as a second argument." if several else "Pass the targets."
        return f"{given}, since the model is compiled with a loss that compares with targets. Received none. {remedy}"
    if "No loss to compute" in text:
        return (
            "`model` must have a loss to train by. Received none. Compile it with one, as in "
            "`model.compile(optimizer, loss)`."
        )
    ranks = re.search(r"ndim=(\d+), found ndim=(\d+)", text)
    one_less = ranks is not None and int(ranks[1]) == int(ranks[2]) + 1
    shapes = [tuple(leaf.shape) for leaf in keras.tree.flatten(x) if getattr(leaf, "shape", None) is not None]
    expected = _input_shape(model)
    if of_dataset and shapes and (one_less or (expected is not None and len(shapes[0]) == len(expected) - 1)):
        return (
            f"`x` must yield batches. Received single samples of shape {shapes[0]}, without the axis of the batch. "
            "Add `.batch(32)` to the dataset."
        )
    return _explain_targets(model, text, y, label_remedy) or width_sentence(text, shapes) or recompile_error(error)


def _explain_targets(model: keras.Model, text: str, y: Any, label_remedy: str) -> str | None:
    """What is wrong with the form of the targets, if an error with this text is due to that."""
    losses = losses_of(model)
    if len(losses) == 1 and is_loss(losses[0], "categorical_crossentropy") and "must have the same rank" in text:
        return (
            "`y` must hold one row of shares per sample for categorical cross-entropy. Received labels as numbers. "
            f"{label_remedy or 'Compile the model with `sparse_categorical_crossentropy`.'}"
        )
    if len(losses) == 1 and is_loss(losses[0], "sparse_categorical_crossentropy") and "`target.ndim - 1`" in text:
        outputs = re.search(r"output\.shape=(\(.*?\))", text)
        if _shape_of_targets(y) == "(samples)" and outputs:
            return (
                "`y` must hold a label for each row of outputs. Received one label per sample, while the outputs of a "
                f"batch have the shape {outputs[1]}. Check the shape of the inputs, or flatten them in the model."
            )
        return (
            "`y` must hold labels as numbers for sparse categorical cross-entropy. Received a row per sample, as of "
            f"one-hot labels. {label_remedy or 'Compile the model with `categorical_crossentropy`.'}"
        )
    if "Cast string to" in text:
        return (
            "`y` must hold numbers. Received text. Map the labels to 0, 1, 2 and so on, for example with "
            "`np.unique(y, return_inverse=True)[1]`."
        )
    if "must have the same rank" in text and (received := _shape_of_targets(y)) is not None:
        given = ", ".join(map(str, _shape_of_outputs(model).values()))
        return (
            f"`y` must have as many axes as the model's output of shape {given}. Received targets of shape {received}. "
            "For labels as numbers and an output per class, compile the model with `sparse_categorical_crossentropy`."
        )
    return None


def misfit(error: BaseException) -> str:
    """The sentence for a first step that fails while it runs, for a reason that is not known."""
    return (
        f"The data must fit the model. Training on the first batch failed: {short_error_message(error)}. Compare the "
        "batch with what the model and its loss take."
    )


def first_step_error(sentence: str) -> DataError | ModelError:
    """The error for a sentence about a first step, which names the model or the data first."""
    return (ModelError if sentence.startswith("`model`") else DataError)(sentence)


def _shape_of_targets(y: Any) -> str | None:
    """The shape of a single array of targets, `(samples, 10)`; None for anything else."""
    shape = getattr(y, "shape", None)
    return None if shape is None else f"({', '.join(['samples', *map(str, shape[1:])])})"


def check_validation_batch(model: keras.Model, batch: Any, *, of_dataset: bool = False) -> None:
    """Raises `DataError` if the model's `test_step` cannot be traced on a batch of validation data.

    Args:
        model: A compiled model, built, of a kind that `fit` compiles.
        batch: `x`, `(x, y)` or `(x, y, sample_weight)`, of arrays, tensors or `tf.TypeSpec`s.
        of_dataset: Whether the batch is one of a dataset.
    """
    random_state = RandomState()
    try:
        trace_step(model.test_step, batch)
    except Exception as error:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        remedy = "Prepare them as the training data."
        sentence = explain_first_step(model, error, x=x, y=y, of_dataset=of_dataset, label_remedy=remedy)
        shapes = ", ".join(str(leaf.shape[1:]) for leaf in keras.tree.flatten(x))
        sentence = sentence or (
            f"Its batches must fit the model's `test_step`. Received inputs of shape {shapes} per sample, with which "
            f"it fails: {short_error_message(error)}. {remedy}"
        )
        raise DataError(f"In `validation_data`: {sentence}") from error
    finally:
        random_state.restore()


def width_sentence(text: str, shapes: list[tuple[Any, ...]]) -> str | None:
    """Says that inputs have another size than the model takes, if that is what the error of a step says.

    Args:
        text: The error.
        shapes: Shapes of the inputs; a shape inside the model, which is none of them, has another cause.
    """
    found = _WIDTH_ERROR.search(text)
    if found is None:
        return None
    received = re.findall(r"\d+|None", found["received"] or found["found"])[1:]
    if not any([str(size) for size in shape[1:]] == received for shape in shapes):
        return None
    taken = f"the size {found['size']} on axis {found['axis']}" if found["axis"] else f"the shape ({found['expected']})"
    return (
        f"`x` must hold inputs as the model takes them, which have {taken}. Received inputs of shape "
        f"({', '.join(['samples', *received])}). Pass the data that the model was built for, or build it for these."
    )


def recompile_error(error: BaseException) -> str | None:
    """The sentence for the error of a training step that met weights which the optimizer was not made for."""
    if "Unknown variable" not in str(error):
        return None
    return (
        "`model` must be compiled after its trainable weights have changed. Received an optimizer that was made "
        "for others, as after `layer.trainable = True`. Call `model.compile` again."
    )


def _outputs(model: keras.Model, y: Any) -> Iterator[tuple[Any, Any, int | None]]:
    """The loss, the targets and the number of classes of each output whose loss is known."""
    loss = getattr(model, "loss", None)
    shapes = _shape_of_outputs(model)
    if isinstance(loss, dict) and isinstance(y, dict):
        for name in loss.keys() & y.keys():
            yield loss[name], y[name], _classes(shapes.get(name))
    elif isinstance(loss, (list, tuple)) and isinstance(y, (list, tuple)):
        for one, target, shape in zip(loss, y, [*shapes.values(), *[None] * len(y)], strict=False):
            yield one, target, _classes(shape)
    elif loss is not None and y is not None and not isinstance(y, (dict, list, tuple)):
        yield loss, y, _classes(next(iter(shapes.values()))) if len(shapes) == 1 else None


def _shape_of_outputs(model: keras.Model) -> dict[str, tuple[Any, ...]]:
    try:
        shapes = [tuple(output.shape) for output in model.outputs]
    except (AttributeError, TypeError, ValueError):
        return {}
    names = getattr(model, "output_names", None) or [str(place) for place in range(len(shapes))]
    return dict(zip(names, shapes, strict=True))


def _classes(shape: tuple[Any, ...] | None) -> int | None:
    return None if not shape or shape[-1] is None else int(shape[-1])


def _input_shape(model: keras.Model) -> tuple[Any, ...] | None:
    try:
        return tuple(model.inputs[0].shape)
    except (AttributeError, TypeError, IndexError):
        return None


def is_loss(loss: Any, name: str) -> bool:
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    return name in (getattr(loss, "__name__", ""), getattr(getattr(loss, "fn", None), "__name__", ""))


def _is_binary(loss: Any) -> bool:
    return any(is_loss(loss, name) for name in ("binary_crossentropy", "binary_focal_crossentropy"))


def _takes_shares(loss: Any) -> bool:
    return any(is_loss(loss, name) for name in ("categorical_crossentropy", "categorical_focal_crossentropy"))


def _is_of_keras(loss: Any) -> bool:
    """Whether a loss is one that Keras brings, not a function that the user has written."""
    return isinstance(loss, str) or all(
        str(getattr(part, "__module__", "")).startswith("keras.")
        for part in (loss if callable(loss) and hasattr(loss, "__name__") else type(loss), getattr(loss, "fn", None))
        if part is not None
    )


def _numbers(values: Any) -> np.ndarray | None:
    """The values as a NumPy array of numbers; None for what is none, or is not in memory."""
    if isinstance(values, np.memmap) or not isinstance(values, (np.ndarray, pd.Series, pd.DataFrame, tf.Tensor)):
        return None
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16" else None


def _first_bad_row(values: Any) -> tuple[int, str] | None:
    array = _numbers(values)
    if array is None or array.dtype.kind in "biu" or array.ndim == 0:
        return None
    step = max(_BLOCK_VALUES // max(math.prod(array.shape[1:]), 1), 1)
    for start in range(0, len(array), step):
        block = array[start : start + step].astype(np.float32 if array.dtype.itemsize < 4 else array.dtype, copy=False)
        finite = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            return start + row, KINDS[0] if np.isnan(block[row]).any() else KINDS[1]
    return None


def _limits(values: Any) -> tuple[float, float] | None:
    """The lowest and the highest value; None for fewer than two values."""
    array = _numbers(values)
    if array is None or len(np.atleast_1d(array)) < 2:
        return None
    low, high = float(array.min()), float(array.max())
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def check_optimizer(model: keras.Model) -> None:
    """Raises `ModelError` if the model was compiled without an optimizer."""
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. "
            f"{further_optimizers(model) or 'Call `model.compile(optimizer=...)` first.'}"
        )


def check_trainable(model: keras.Model, *, built_only: bool = False) -> None:
    """Raises `ModelError` if the model has no optimizer or nothing to train.

    Args:
        model: A compiled model.
        built_only: Whether a model without weights passes if it is not built yet.
    """
    check_optimizer(model)
    if not model.trainable_variables and (is_built(model) or not built_only):
        raise ModelError(
            "`model` must have trainable weights. Received a model without any. Set `trainable = True` on a layer, "
            "then compile."
        )


def check_optimizer_used(model: keras.Model, touched: list[Any]) -> None:
    """Raises `ModelError` if the step trains with another optimizer, so that sweeping the compiled one has no effect.

    Args:
        model: A compiled model.
        touched: Every variable that its step touches.
    """
    if not uses_optimizer(model, touched):
        raise ModelError(unused_optimizer(model))


def uses_optimizer(model: keras.Model, touched: Iterable[Any]) -> bool:
    """Whether a step counter of the compiled optimizer is among the variables that a step touches."""
    counters = components(iterations_of(leaf) for leaf in leaf_optimizers(model.optimizer))
    return bool({id(counter) for counter in counters} & {id(variable) for variable in components(touched)})


def steps_counted(model: keras.Model) -> list[int] | None:
    """The steps that each compiled optimizer has counted; None for one that may skip steps to scale its loss."""
    if hasattr(model.optimizer, "inner_optimizer"):
        return None
    return [int(tf.convert_to_tensor(iterations_of(leaf))) for leaf in leaf_optimizers(model.optimizer)]


def unused_optimizer(model: keras.Model) -> str:
    """Says that the step does not train with the compiled optimizer, and how to sweep one that it trains with."""
    compiled = type(model.optimizer).__name__
    return (
        "`train_step` must train with `model.optimizer`, whose learning rate is swept. Received a step that leaves the "
        f"compiled {compiled} unused. {further_optimizers(model) or 'Compile it with the optimizer that trains it.'}"
    )


def further_optimizers(model: keras.Model, remedy: str = _TO_SWEEP) -> str:
    """Names the other optimizers that the model holds; empty if it holds none.

    Args:
        model: A model.
        remedy: What to do with one of them, with "{name}" for the name of the first.
    """
    names = [
        name
        for name, value in vars(model).items()
        if isinstance(value, keras.Optimizer) and value is not model.optimizer and not name.startswith("_")
    ]
    if not names:
        return ""
    return f"The model also holds {' and '.join(f'`{name}`' for name in names)}. {remedy.format(name=names[0])}"
