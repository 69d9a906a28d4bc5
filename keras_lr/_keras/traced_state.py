"""The state behind traced functions: what they change unseen, and running them on variables of their own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops import script_ops

from keras_lr._keras.model import batch_specs, users_code
from keras_lr._keras.reader_state import ReaderState, global_random_values, same_values
from keras_lr._keras.snapshot import (
    RandomState,
    StateSnapshot,
    components,
    created_variables,
    plain_variables,
    trainer_variables,
)
from keras_lr._keras.tf_data import all_nodes

_READS = {
    "LookupTableExportV2",
    "LookupTableFindV2",
    "LookupTableSizeV2",
    "QueueIsClosedV2",
    "QueueSizeV2",
    "ReadVariableOp",
    "ResourceGather",
    "ResourceGatherNd",
    "VarIsInitializedOp",
    "VariableShape",
}
"""Operations that leave the resource which is one of their inputs as it is."""

_WRITES_SUMMARY = re.compile(r"Write\w*Summary|FlushSummaryWriter")
"""Operations that change only what TensorBoard shows."""

_PASSES_ON = {"Identity", "IdentityN"}

_OF_VARIABLES = ("Assign", "Resource", "Rng", "Stateful")
"""What the names of operations begin with that change a variable."""

_REFUSE = tf.data.experimental.ExternalStatePolicy.FAIL.value

_DRAWS = re.compile(r"NonDeterministicInts|AnonymousSeedGenerator|AnonymousRandomSeedGenerator")
_DRAWS_NOTHING = re.compile(r"Stateless|Cudnn|FixedLengthRecord|TextLine")
"""Operations with two seeds that draw nothing from them, or keep no position in a stream of random numbers."""

_PYTHON = {"EagerPyFunc", "PyFunc"}


def hidden_state(function: Any, known: Iterable[Any]) -> str:
    """State that a traced function changes, in words that complete "its step ..."; empty if all of it is known.

    Args:
        function: A `ConcreteFunction`.
        known: The variables whose changes are known.
    """
    graph = function.graph.as_graph_def()
    functions = _functions_of(graph)
    nodes = list(all_nodes(graph))
    if any(map(_draws, nodes)):
        return "draws from a random state of TensorFlow's that cannot be set; give `keras.random` a `SeedGenerator`"
    if any(node.op in _PYTHON for node in nodes):
        return "calls Python code, whose state cannot be set"
    handles = {id(variable.handle) for variable in components(known)}
    names = {name for handle, name in _captured_resources(function) if id(handle) not in handles}
    changing = next((node.op for node in _uses(graph.node, names, functions) if _changes(node)), None)
    if changing is None:
        return ""
    if changing.startswith(_OF_VARIABLES):
        return "changes a variable that the model does not list"
    return f"changes a state beside its variables (`{changing}`)"


def python_functions_in(function: Any) -> list[Any]:
    """The Python functions that a `ConcreteFunction` calls while it runs, as TensorFlow has wrapped them."""
    tokens = {node.attr["token"].s.decode() for node in all_nodes(function.graph.as_graph_def()) if node.op in _PYTHON}
    return [found for token in sorted(tokens) if (found := script_ops._py_funcs._funcs.get(token)) is not None]


class TracedResources:
    """What a traced function changes beside variables, as far as it can be copied: tables and iterators.

    Args:
        function: A `ConcreteFunction`.

    Attributes:
        unrestored: What it changes and cannot be put back, each as a clause.
    """

    def __init__(self, function: Any) -> None:
        graph = function.graph.as_graph_def()
        functions = _functions_of(graph)
        of_variables = {id(variable.handle) for variable in function.graph.variables}
        self.unrestored: list[str] = []
        self._kept: list[Callable[[], Callable[[], None]]] = []
        for handle, name in _captured_resources(function):
            if id(handle) in of_variables:
                continue
            changing = next((node for node in _uses(graph.node, {name}, functions) if _changes(node)), None)
            if changing is None or changing.op.startswith(_OF_VARIABLES):
                continue
            keep = partial(_keep_table if changing.op.startswith("LookupTable") else _keep_iterator, handle, changing)
            try:
                keep()
            except (tf.errors.OpError, ValueError):
                self.unrestored.append(f"a step changes a state beside the variables (`{changing.op}`)")
            else:
                self._kept.append(keep)

    def saved(self) -> list[Callable[[], None]]:
        """Functions that put back what is there now."""
        return [keep() for keep in self._kept]


def _keep_table(handle: Any, changing: Any) -> Callable[[], None]:
    kinds = [tf.as_dtype(changing.attr[name].type) for name in ("Tin", "Tout")]
    exported = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=kinds[0], Tvalues=kinds[1])
    # A dense table exports its own memory, which it goes on writing to.
    keys, values = (tf.constant(np.array(part.numpy()), part.dtype) for part in exported)
    return lambda: tf.raw_ops.LookupTableImportV2(table_handle=handle, keys=keys, values=values)


def _keep_iterator(handle: Any, changing: Any) -> Callable[[], None]:
    if not changing.op.startswith("IteratorGetNext"):
        raise ValueError(changing.op)
    position = tf.raw_ops.SerializeIterator(resource_handle=handle, external_state_policy=_REFUSE)
    return lambda: tf.raw_ops.DeserializeIterator(resource_handle=handle, serialized=position)


@contextmanager
def watched_trace(model: keras.Model) -> Iterator[Callable[[], str]]:
    """Undoes what tracing within the block changes in the user's Python code, such as a flag: `fit` traces once more.

    Yields:
        A function that, after the block, says what a step does only while it is traced, in words that complete "its
        step ..."; empty if it does the same each time.
    """
    state, before = ReaderState(users_code(model), records=False), global_random_values()
    found: list[str] = []
    try:
        yield lambda: next(iter(found), "")
    finally:
        if state.undo_plain():
            found.append("changes a value in Python while it is traced")
        if not same_values(before, global_random_values()):
            found.append("draws random numbers in Python while it is traced")


@contextmanager
def undone(model: keras.Model) -> Iterator[None]:
    """Undoes what a call of a built model within the block changes: variables, random states, and Python values."""
    random_state, code = RandomState(), ReaderState(users_code(model), records=False)
    state = StateSnapshot(model, plain_variables(model))
    try:
        yield
    finally:
        state.restore()
        code.undo_plain()
        random_state.restore()


@contextmanager
def only_builds(model: keras.Model) -> Iterator[None]:
    """Undoes what a step within the block changes, which is trained to build a model.

    Variables that it creates are given their initial values.
    """
    state, code = StateSnapshot(model, plain_variables(model)), ReaderState(users_code(model), records=False)
    with created_variables() as created:
        try:
            yield
        finally:
            state.restore()
            for variable, value in created:
                variable.assign(value)
            code.undo_plain()


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
        self._pairs = {
            id(one): (one, tf.Variable(one, trainable=False, dtype=one.dtype, shape=one.shape))
            for one in components(variables)
        }
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
            input of its operation, and so is what a loop collects of its rounds.
    """
    operations = function.graph.get_operations()
    last_use = {tensor.ref(): place for place, one in enumerate(operations) for tensor in one.inputs}
    # A loop comes before what it collects for its gradient, which is added to its inputs later.
    size: dict[Any, int] = defaultdict(int)
    freed: dict[int, int] = defaultdict(int)
    held = peak = 0
    for place, one in enumerate(operations):
        largest = max((size[tensor.ref()] for tensor in one.inputs), default=0)
        for result in one.outputs:
            has_unknown_size = result.dtype == tf.variant or result.shape.rank is None
            is_vague = one.inputs and (has_unknown_size or list(result.shape).count(None) > 1)
            size[result.ref()] = largest if is_vague else _bytes(result.shape, result.dtype, batch_size)
            freed[max(place, last_use.get(result.ref(), place))] += size[result.ref()]
            held += size[result.ref()]
        peak = max(peak, held)
        held -= freed[place]
    return peak


def _bytes(shape: Any, dtype: Any, unknown: int) -> int:
    if shape.rank is None:
        return 0
    return int(np.prod([unknown if size is None else size for size in shape], dtype=np.int64)) * int(dtype.size)


def _captured_resources(function: Any) -> Iterator[tuple[Any, str]]:
    """Each resource that a `ConcreteFunction` captures, and the name of its place in the graph."""
    captured = function.captured_inputs
    inner = function.inputs[len(function.inputs) - len(captured) :]
    for handle, placeholder in zip(captured, inner, strict=True):
        if handle.dtype == tf.resource:
            yield handle, placeholder.op.name


def _functions_of(graph: Any) -> dict[str, Any]:
    return {one.signature.name: one for one in graph.library.function}


def _draws(node: Any) -> bool:
    """Whether an operation keeps its position in a stream of random numbers itself."""
    if _DRAWS.match(node.op):
        return True
    return "seed" in node.attr and "seed2" in node.attr and not _DRAWS_NOTHING.match(node.op)


def _changes(node: Any) -> bool:
    """Whether an operation may change a resource that it takes."""
    return node.op not in _READS and not _WRITES_SUMMARY.fullmatch(node.op)


def _uses(nodes: Iterable[Any], names: set[str], functions: Mapping[str, Any]) -> Iterator[Any]:
    """Those of `nodes`, and of the functions that they call, that take one of the resources in `names`."""
    names = set(names)
    for node in nodes:
        places = [place for place, name in enumerate(node.input) if name.split(":")[0] in names]
        if not places:
            continue
        if node.op in _PASSES_ON:
            names.add(node.name)
            continue
        called = _called(node, functions)
        if not called:
            yield node
        # The first input of a branch chooses it, and is not passed on.
        skipped = 1 if node.op in ("Case", "If", "StatelessCase", "StatelessIf") else 0
        for one in called:
            arguments = one.signature.input_arg
            passed = {arguments[place - skipped].name for place in places if 0 <= place - skipped < len(arguments)}
            yield from _uses(one.node_def, passed, functions)


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
    specs = batch_specs(batch, open_batch=True)
    known = [*trainer_variables(model), *plain_variables(model)]
    for step in (model.train_step, model.test_step):
        try:
            with watched_trace(model) as while_traced:
                traced = tf.function(step, autograph=False).get_concrete_function(specs)
        except Exception:
            continue
        if found := while_traced() or hidden_state(traced, known):
            return found
    return ""
