"""The state behind traced functions: what they change unseen, and running them on variables of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.snapshot import components, plain_variables, trainer_variables

_WRITES = (
    "Assign",
    "LookupTableInsert",
    "LookupTableRemove",
    "NonDeterministicInts",
    "ResourceApply",
    "ResourceScatter",
    "ResourceSparseApply",
    "ResourceStridedSliceAssign",
    "RngReadAndSkip",
    "RngSkip",
    "StatefulRandom",
    "StatefulStandardNormal",
    "StatefulTruncatedNormal",
    "StatefulUniform",
)
"""What the names of operations begin with that change the resource which is one of their inputs."""

_DRAWS = {
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoisson",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "TruncatedNormal",
}
"""Operations of `tf.random` that keep their position in the stream themselves."""

_PYTHON = {"EagerPyFunc", "PyFunc"}


def hidden_state(function: Any, known: Iterable[Any]) -> str:
    """State that a traced function changes, in words that complete "its step ..."; empty if all of it is known.

    Args:
        function: A `ConcreteFunction`.
        known: The variables whose changes are known.
    """
    graph = function.graph.as_graph_def()
    functions = {one.signature.name: one for one in graph.library.function}
    operations = {node.op for node in graph.node}
    operations |= {node.op for one in functions.values() for node in one.node_def}
    if operations & _DRAWS:
        return "draws from a random state of TensorFlow's that cannot be set; give `keras.random` a `SeedGenerator`"
    if operations & _PYTHON:
        return "calls Python code, whose state cannot be set"
    handles = {id(variable.handle) for variable in components(known)}
    captured = function.captured_inputs
    inner = function.inputs[len(function.inputs) - len(captured) :]
    names = {
        placeholder.op.name
        for handle, placeholder in zip(captured, inner, strict=True)
        if handle.dtype == tf.resource and id(handle) not in handles
    }
    if names and _writes(graph.node, names, functions):
        return "changes a variable that the model does not list"
    return ""


def reads_any(function: Any, variables: Iterable[Any]) -> bool:
    """Whether a `ConcreteFunction` uses one of `variables` by reference, not as a value that it is given."""
    handles = {id(variable.handle) for variable in components(variables)}
    return any(id(captured) in handles for captured in function.captured_inputs)


class VariableCopies:
    """A second set of a model's variables. Traced functions run on it as they are, also while others train the first.

    Args:
        variables: The variables to copy; the copies begin with their values.
    """

    def __init__(self, variables: Iterable[Any]) -> None:
        self._pairs = {id(one): (one, tf.Variable(one, trainable=False)) for one in components(variables)}
        self._handles = {id(original.handle): copy.handle for original, copy in self._pairs.values()}

    def load(self, variables: Iterable[Any] | None = None) -> None:
        """Assigns the values of the copies to these variables, or to all."""
        for original, copy in self._chosen(variables):
            original.assign(copy)

    def store(self, variables: Iterable[Any] | None = None) -> None:
        """Assigns the values of these variables, or of all, to the copies."""
        for original, copy in self._chosen(variables):
            copy.assign(original)

    def _chosen(self, variables: Iterable[Any] | None) -> Iterable[tuple[Any, Any]]:
        return self._pairs.values() if variables is None else [self._pairs[id(one)] for one in components(variables)]

    def call(self, function: Any, *arguments: Any) -> Any:
        """Calls a `ConcreteFunction` on the copies instead of the variables; the values are the same to the bit."""
        captured = [self._handles.get(id(handle), handle) for handle in function.captured_inputs]
        tensors = tf.nest.flatten(arguments, expand_composites=True)
        return function.inference_fn.call_preflattened([*tensors, *captured])


def variables_used_by(*functions: Callable[[], Any]) -> list[Any]:
    """The variables that functions without arguments read or write, as a trace shows; what they return is not kept."""
    traced = [tf.function(function, autograph=False).get_concrete_function() for function in functions]
    return [variable for one in traced for variable in one.graph.variables]


def bytes_of_variables(variables: Iterable[Any]) -> int:
    """Memory that `variables` take."""
    return sum(_bytes(variable.shape, variable.dtype, 1) for variable in components(variables))


def peak_bytes(function: Any, batch_size: int) -> int:
    """Memory that a `ConcreteFunction` needs at a time for what its operations return, if they run one after another.

    Args:
        function: A function whose first dimensions, those of the batch, may be unknown.
        batch_size: Stands for an unknown dimension. A shape with several of them is taken to be as large as the largest
            input of its operation.
    """
    operations = function.graph.get_operations()
    last_use = {tensor.ref(): place for place, one in enumerate(operations) for tensor in one.inputs}
    size: dict[Any, int] = {}
    freed: dict[int, int] = defaultdict(int)
    held = peak = 0
    for place, one in enumerate(operations):
        largest = max((size[tensor.ref()] for tensor in one.inputs), default=0)
        for result in one.outputs:
            is_vague = one.inputs and (result.shape.rank is None or list(result.shape).count(None) > 1)
            size[result.ref()] = largest if is_vague else _bytes(result.shape, result.dtype, batch_size)
            freed[last_use.get(result.ref(), place)] += size[result.ref()]
            held += size[result.ref()]
        peak = max(peak, held)
        held -= freed[place]
    return peak


def _bytes(shape: Any, dtype: Any, unknown: int) -> int:
    if shape.rank is None:
        return 0
    return int(np.prod([unknown if size is None else size for size in shape], dtype=np.int64)) * int(dtype.size)


def _writes(nodes: Iterable[Any], names: set[str], functions: Mapping[str, Any]) -> bool:
    """Whether any of `nodes`, or of the functions that they call, changes one of the resources in `names`."""
    names = set(names)
    for node in nodes:
        places = [place for place, name in enumerate(node.input) if name.split(":")[0] in names]
        if not places:
            continue
        if node.op.startswith(_WRITES):
            return True
        if node.op == "Identity":
            names.add(node.name)
        # The first input of a branch chooses it, and is not passed on.
        skipped = 1 if node.op in ("Case", "If", "StatelessCase", "StatelessIf") else 0
        for called in _called(node, functions):
            arguments = called.signature.input_arg
            passed = {arguments[place - skipped].name for place in places if 0 <= place - skipped < len(arguments)}
            if _writes(called.node_def, passed, functions):
                return True
    return False


def _called(node: Any, functions: Mapping[str, Any]) -> list[Any]:
    """The functions that a node calls."""
    named = [
        name
        for attribute in node.attr.values()
        for name in (attribute.func.name, *(one.name for one in attribute.list.func))
    ]
    return [functions[name] for name in named if name in functions]


def hidden_state_of_steps(model: keras.Model, batch: Any) -> str:
    """What `hidden_state` finds in the steps of a built `model`; empty if a step cannot be traced alone.

    Args:
        model: A compiled model, built with its optimizer.
        batch: A batch as `train_step` takes it; None if it is not known.
    """
    if batch is None or model.run_eagerly:
        return ""
    specs = keras.tree.map_structure(_spec, batch)
    known = [*trainer_variables(model), *plain_variables(model)]
    for step in (model.train_step, model.test_step):
        try:
            traced = tf.function(step, autograph=False).get_concrete_function(specs)
        except Exception:
            continue
        if found := hidden_state(traced, known):
            return found
    return ""


def _spec(part: Any) -> Any:
    tensor = None if part is None else tf.convert_to_tensor(part)
    return None if tensor is None else tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape else [], tensor.dtype)
