"""Private parts of `keras.Model` that have no public counterpart, each behind a function that says what it returns."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state

from keras_lr.errors import ModelError

_NAME_COUNTERS = "object_name_uids"
_MARKS = frozenset(
    {
        *("built", "_called", "_eval_epoch_iterator", "_inbound_nodes", "_outbound_nodes", "_learning_rate"),
        "_trainable_variables",
    }
)
"""Attributes that a fit, an evaluation, a call or, as for the rate, a range test changes."""
_ADDED_TO_MODELS = frozenset({"history", "stop_evaluating", "stop_predicting"})
"""Attributes that a model has only after a fit, an evaluation or a prediction."""
_attributes: dict[type, frozenset[str]] = {}


def layers_of(model: keras.Model, *, include_self: bool = True, recursive: bool = True) -> list[Any]:
    """The layers of `model`, at every depth or, without `recursive`, its direct layers alone."""
    return list(model._flatten_layers(include_self=include_self, recursive=recursive))


def graph_nodes(model: keras.Model) -> list[Any]:
    """The calls that make up a functional model, from its inputs on; empty for any other model.

    Each has `operation`, a layer or an operation of `keras.ops`; `parent_nodes`, the calls whose results it takes; and
    `is_input`.
    """
    by_depth = getattr(model, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def is_built(model: keras.Model) -> bool:
    """Whether all weights exist; `model.build` of a model without a `build` of its own only says that they do."""
    return all(layer.built for layer in layers_of(model))


def is_distributed(model: keras.Model) -> bool:
    """Whether `model` was built under a `tf.distribute` strategy."""
    return model._distribute_strategy is not None


def is_own_step(model: keras.Model) -> bool:
    """Whether the model overrides `train_step`."""
    return bool(overridden(model, ["train_step"]))


def overridden(model: keras.Model, names: Iterable[str]) -> list[str]:
    """Those of the methods `names` of `keras.Model` that the class of the model, or the model itself, overrides."""
    return [
        name for name in names if getattr(type(model), name) is not getattr(keras.Model, name) or name in vars(model)
    ]


def build_on(model: keras.Model, batch: Any) -> None:
    """Builds the model, its metrics and its optimizer on the shapes of `batch`, as the first step of `fit` does."""
    model._symbolic_build(data_batch=batch)


def build_metrics(model: keras.Model, batch: Any) -> None:
    """Makes the metrics that `compile` was given by name, as the first step would.

    TensorFlow traces a function twice if it creates variables, such as those of a metric. What a metric has to know of
    the predictions, a functional model says without a trace; the metrics of any other are left to the step.

    Args:
        model: A compiled model.
        batch: `(x, y)` or `(x, y, sample_weight)`, of arrays, tensors or `tf.TypeSpec`s.
    """
    metrics = getattr(model, "_compile_metrics", None)
    if metrics is None or metrics.built or not _are_used_on_known_outputs(model):
        return
    with suppress(Exception), model.distribute_strategy.scope():
        outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
        targets = keras.utils.unpack_x_y_sample_weight(batch)[1]
        metrics.build(keras.tree.map_structure(_symbolic, targets), outputs)


def _are_used_on_known_outputs(model: keras.Model) -> bool:
    """Whether the steps of a model use its metrics on the outputs that it names."""
    is_usual = not overridden(model, ["train_step", "compute_metrics"])
    return is_usual and type(model).call.__module__.partition(".")[0] == "keras" and is_built(model)


def _symbolic(leaf: Any) -> keras.KerasTensor:
    return keras.KerasTensor(leaf.shape, keras.backend.standardize_dtype(leaf.dtype))


def batch_specs(batch: Any, *, open_batch: bool) -> Any:
    """The specifications of the arrays and tensors of a batch, or those that it consists of.

    Args:
        batch: Nested as `train_step` takes it; None stays.
        open_batch: Whether the number of samples is left open; that of a sparse or ragged tensor is kept.
    """

    def spec(leaf: Any) -> Any:
        if leaf is None or isinstance(leaf, tf.TypeSpec):
            return leaf
        if isinstance(leaf, (tf.SparseTensor, tf.RaggedTensor)):
            return tf.type_spec_from_value(leaf)
        tensor = tf.convert_to_tensor(leaf)
        shape = [None, *tensor.shape[1:]] if open_batch and tensor.shape else tensor.shape
        return tf.TensorSpec(shape, tensor.dtype)

    return keras.tree.map_structure(spec, batch)


def trace_step(step: Callable[[Any], Any], batch: Any) -> Any:
    """The function of a `train_step` or a `test_step`, traced as `fit` does for `batch`; nothing is computed.

    Of arrays the number of samples is left open, unless the step needs it, which a dataset can fix. The batch may also
    consist of `tf.TypeSpec`s.
    """

    traced = tf.function(step, autograph=False)
    try:
        return traced.get_concrete_function(batch_specs(batch, open_batch=True))
    except Exception:
        return traced.get_concrete_function(batch_specs(batch, open_batch=False))


def build_on_first_of(model: keras.Model, epochs: Any) -> None:
    """Builds the model from the first batch of an epoch iterator, as `fit` does.

    Keras does so under a distribution strategy only; elsewhere the first step builds.
    """
    model._maybe_symbolic_build(iterator=epochs)


def logs_of(model: keras.Model, result: Any) -> dict[str, float]:
    """The numbers that `fit` logs at an epoch's end, given what the last step returned; arrays are left out."""
    logs = flat_logs(model._get_metrics_result_or_logs(result))
    return {name: float(value) for name, value in logs.items() if np.ndim(value) == 0}


def flat_logs(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Logs with the values of a metric that gives several by their own names, as `fit` logs them."""
    found: dict[str, Any] = {}
    for name, value in logs.items():
        found.update(flat_logs(value) if isinstance(value, Mapping) else {name: value})
    return found


def loss_tracker(model: keras.Model) -> Any:
    """The metric behind the logged loss, a new one after each `compile`; None before the first.

    If Keras has moved it, this returns a new object on each call. A cache that compares it by identity then misses,
    rather than hit after the model was compiled with another loss.
    """
    return getattr(model, "_loss_tracker", object())


def forward(model: keras.Model, x: Any, *, training: bool) -> Any:
    """The predictions of `train_step` (`training=True`) or of `test_step`."""
    return model(x, training=training) if model._call_has_training_arg else model(x)


def loss_of(model: keras.Model, x: Any, y: Any, prediction: Any, sample_weight: Any, *, training: bool) -> Any:
    """The total loss of a step: the compiled losses, those that layers add, and the regularizers'."""
    return model._compute_loss(x=x, y=y, y_pred=prediction, sample_weight=sample_weight, training=training)


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """What `keras.Model.compile` was called with, by name, as the objects themselves; empty if Keras kept none."""
    return dict(getattr(getattr(model, "_compile_config", None), "config", {}))


def users_code(model: keras.Model) -> list[Any]:
    """What may hold code of the user's that a training step runs: layers, optimizer, losses and metrics."""
    compiled = compile_arguments(model)
    functions = [compiled.get(name) for name in ("loss", "metrics", "weighted_metrics")]
    return [*layers_of(model), model.optimizer, *keras.tree.flatten(functions)]


def settings_of(part: Any) -> list[Any]:
    """What an object holds that a trace turns into constants, such as a dropout rate: names, each before its value.

    Numbers and texts, also in lists, are given as they are, functions and precisions by weak references. What a fit, an
    evaluation or a call changes is left out.
    """
    marks = _MARKS | attributes_of_keras(keras.Model) if isinstance(part, keras.Model) else _MARKS
    found: list[Any] = []
    for name, value in getattr(part, "__dict__", {}).items():
        if name in marks:
            continue
        if _is_plain(value):
            found += [name, value]
        elif isinstance(value, (list, tuple)) and all(map(_is_plain, value)):
            found += [name, tuple(value)]
        elif isinstance(value, (FunctionType, keras.DTypePolicy)):
            found += [name, weakref.ref(value)]
    return found


def _is_plain(value: Any) -> bool:
    # Others, such as a float of a subclass, may refer to the model.
    return type(value) in (bool, int, float, str, type(None)) or isinstance(value, np.generic)


def attributes_of_keras(kind: type) -> frozenset[str]:
    """Names of the attributes that the objects of `kind` have, a class of a library such as `keras.Layer`.

    Empty for a class that cannot be made without arguments, or whose objects hold no attributes, such as `abc.ABC`.
    """
    if kind not in _attributes:
        with fresh_layer_names():
            names = {name for example in _examples(kind) for name in getattr(example, "__dict__", {})}
        _attributes[kind] = frozenset(names) | (_ADDED_TO_MODELS if issubclass(kind, keras.Model) else frozenset())
    return _attributes[kind]


def _examples(kind: type) -> list[Any]:
    if issubclass(kind, keras.Model):
        data = keras.Input((1,))
        models = [keras.Model(), keras.Model(data, keras.layers.Identity()(data)), keras.Sequential([data])]
        for model in models:
            model.compile("sgd", "mse")
            model.make_train_function()
        return models
    try:
        return [kind()]
    except Exception:
        return []


def metric_direction(metric: Any) -> str | None:
    """ "up" or "down" if the metric declares which is better, else None."""
    return getattr(metric, "_direction", None)


def check_is_loss(model: keras.Model, monitor: str) -> None:
    """Raises `ModelError` if `monitor` names a metric of `model`, whose step has run, that is better when higher."""
    parts = [part for metric in model.metrics for part in getattr(metric, "metrics", None) or [metric]]
    if any(
        monitor == part.name or monitor.endswith(f"_{part.name}") for part in parts if metric_direction(part) == "up"
    ):
        raise ModelError(
            f"`monitor` must name a loss, which training lowers. Received: {monitor!r}, which is better when higher. "
            "Leave it at 'loss', or name another loss in the logs."
        )


@contextmanager
def fresh_layer_names() -> Iterator[None]:
    """Names layers as in a new process within the block, and continues the former counters after it."""
    counters = global_state.get_global_attribute(_NAME_COUNTERS)
    global_state.set_global_attribute(_NAME_COUNTERS, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(_NAME_COUNTERS, counters)
