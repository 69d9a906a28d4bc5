"""Reading `tf.data` pipelines without a trace: copies that share no state, what they run, and how to stop them."""

from __future__ import annotations

import functools
import itertools
import math
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import cache_op
from tensorflow.python.framework import op_def_registry
from tensorflow.python.ops import script_ops

from keras_lr._keras.snapshot import components

_IGNORE_EXTERNAL_STATE = tf.data.experimental.ExternalStatePolicy.IGNORE.value

_STRIPPED_DEVICE = "/device::0"
"""What is left of the device of a `tf.py_function` after TensorFlow has stripped it, and cannot be parsed."""

_SHUFFLE = "ShuffleDatasetV3"
_SEED_INPUTS = (2, 3)
"""Inputs of a shuffle node: dataset, buffer size, two seeds, and the generator that its iterators share."""

_CACHE = "CacheDatasetV2"
_RESOURCE_INPUTS = {_SHUFFLE: 4, "RandomDatasetV2": 2, _CACHE: 2}
"""For each operation whose iterators share a resource, a generator of seeds or the memory of a cache, the place of that
resource among its inputs. A node that finds no resource of the name that it is given makes one of its own."""

_UNCOUNTED = (tf.string, tf.variant, tf.resource)
"""Types whose size in memory is not known."""

_MOST_SHAPES = 8
"""Limit on how often the shape of the batches changes in an epoch that is held in memory, as with the last batch."""


def independent(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A pipeline to read without changing what a later pass over `dataset` yields: a copy where it is needed.

    A shuffle by a seed shares one generator among its iterators, so each pass changes the order of every later one; the
    copy makes its own generator from the same seeds. So does `tf.data.Dataset.random`. A cache keeps what the first
    pass has read: that of random data is not filled by the copy, nor is one in files. Without a seed the order is
    random anyway. In-memory sources of the pipeline are duplicated by the copy.
    """
    return edited_copy(dataset, _own_resources) if keeps_state(dataset) else dataset


def python_functions(dataset: tf.data.Dataset) -> Iterator[Any]:
    """The Python functions that reading the pipeline calls, as TensorFlow has wrapped them."""
    for node in (node for part in _parts(dataset) for node in _nodes_of_functions(part)):
        if "PyFunc" in node.op and (function := script_ops._py_funcs._funcs.get(node.attr["token"].s.decode())):
            yield function


def is_self_contained(dataset: tf.data.Dataset) -> bool:
    """Whether passes over copies of the pipeline can go on at once: no Python code, variables, or cache in files."""
    if any(True for _ in python_functions(dataset)) or any(True for _ in pipeline_variables(dataset)):
        return False
    return not any(isinstance(part, cache_op.CacheDataset) and _is_in_files(part) for part in _parts(dataset))


def stop(iterator: Any, dataset: tf.data.Dataset) -> None:
    """Ends an iterator over `dataset` for good, and waits until no thread of its pipeline runs any more.

    Deleting its resource does so, but a traceback can keep that alive. An iterator over nothing then takes its place,
    which takes longer, since TensorFlow optimizes the pipeline of each new iterator.
    """
    resource = weakref.ref(iterator._iterator_resource)
    iterator._iterator_resource = None
    if (kept := resource()) is None:
        return
    iterator._iterator_resource = kept
    nothing = tf.data.experimental.to_variant(dataset.take(0))
    tf.raw_ops.MakeIterator(dataset=nothing, iterator=kept)


def edited_copy(dataset: tf.data.Dataset, edit: Callable[[tf.compat.v1.GraphDef], None]) -> tf.data.Dataset:
    """The pipeline that is made from the graph of `dataset` after `edit` has changed that graph in place.

    A pipeline that cannot be serialized is returned as it is.
    """
    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset),
            external_state_policy=_IGNORE_EXTERNAL_STATE,
            strip_device_assignment=True,
        )
    except tf.errors.OpError:
        return dataset
    definition = tf.compat.v1.GraphDef.FromString(graph.numpy())
    for node in all_nodes(definition):
        if node.device == _STRIPPED_DEVICE:
            node.device = ""
    edit(definition)
    variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def _own_resources(definition: tf.compat.v1.GraphDef) -> None:
    """Gives each shuffle, random dataset and cache of the graph a resource of its own, which starts from its seeds."""
    _own_files(definition)
    _rename_resources(definition, _RESOURCE_INPUTS)


def _rename_resources(definition: tf.compat.v1.GraphDef, operations: Collection[str]) -> None:
    """Gives the resources of `operations` names that no other copy of the pipeline has."""
    constants = _constants(all_nodes(definition))
    own = uuid.uuid4().hex
    for node in all_nodes(definition):
        if node.op in operations:
            shared = constants.get(_source(node, _RESOURCE_INPUTS[node.op]))
            for handle in shared.resource_handle_val if shared is not None else ():
                handle.name = f"{handle.name.partition('/of ')[0]}/of {own}"


def _own_files(definition: tf.compat.v1.GraphDef) -> None:
    """Lets each cache read a file that has been filled, but fill none."""
    constants = _constants(all_nodes(definition))
    for node in all_nodes(definition):
        if node.op == _CACHE:
            name = tf.make_ndarray(constants[_source(node, 1)]).item()
            if name and not tf.io.gfile.exists(name + b".index"):
                constants[_source(node, 1)].CopyFrom(tf.make_tensor_proto(b""))


def _constants(nodes: Iterable[Any]) -> dict[str, Any]:
    """The value of each constant, by the name of its node."""
    return {node.name: node.attr["value"].tensor for node in nodes if node.op == "Const"}


def _source(node: Any, place: int) -> str:
    """Name of the node that gives the input at `place`."""
    return str(node.input[place].partition(":")[0])


def all_nodes(definition: tf.compat.v1.GraphDef) -> Iterator[Any]:
    """The nodes of the graph and of its functions."""
    functions = (function.node_def for function in definition.library.function)
    return itertools.chain(definition.node, *functions)


def keeps_state(dataset: tf.data.Dataset) -> bool:
    """Whether a pass over any part of the pipeline changes a later one.

    Any pipeline that a function captures counts as such.
    """
    if getattr(dataset, "_reshuffle_each_iteration", False) or getattr(dataset, "_rerandomize", False):
        seeds = (tf.get_static_value(getattr(dataset, name, None)) for name in ("_seed", "_seed2"))
        if any(seed is None or int(seed) for seed in seeds):
            return True
    if isinstance(dataset, cache_op.CacheDataset) and _is_worth_a_cache_of_its_own(dataset):
        return True
    captured = (
        tensor
        for function in dataset._functions()
        for tensor in function.function.captured_inputs
        if tensor.dtype == tf.variant
    )
    return any(True for _ in captured) or any(keeps_state(part) for part in dataset._inputs())


def _is_worth_a_cache_of_its_own(dataset: Any) -> bool:
    """Whether filling the cache leaves a trace: files, or data that would have been drawn later."""
    return _is_in_files(dataset) or _draws(dataset)


def _is_in_files(cache: Any) -> bool:
    return bool(tf.get_static_value(cache._filename) != b"")


def _parts(dataset: tf.data.Dataset) -> Iterator[tf.data.Dataset]:
    """The pipeline and all those that it is made of."""
    yield dataset
    for part in dataset._inputs():
        yield from _parts(part)


def _caches_draws(dataset: tf.data.Dataset) -> bool:
    """Whether a cache keeps what one pass has drawn, such as the order of a shuffle before it."""
    return any(isinstance(part, cache_op.CacheDataset) and _draws(part) for part in _parts(dataset))


def _draws(dataset: tf.data.Dataset) -> bool:
    """Whether two passes over the pipeline may yield different elements."""
    nodes = (node for part in _parts(dataset) for node in _nodes_of_functions(part))
    definitions = (op_def_registry.get(node.op) for node in nodes)
    if any(definition is not None and definition.is_stateful for definition in definitions):
        return True
    return any(hasattr(part, "_seed") for part in _parts(dataset))


def is_repeatable(dataset: tf.data.Dataset) -> bool:
    """Whether every pass over the pipeline yields the same elements, as far as its graph tells."""
    return not _draws(dataset)


def _nodes_of_functions(dataset: tf.data.Dataset) -> Iterator[Any]:
    """The nodes of the functions of this part of the pipeline, nested ones included."""
    for function in dataset._functions():
        yield from all_nodes(function.function.graph.as_graph_def())


def pipeline_variables(dataset: tf.data.Dataset) -> Iterator[Any]:
    """Each variable that a function of the pipeline uses, such as the seed state of an augmentation layer in a `map`.

    A function keeps the memory of a variable alive but not the variable itself; one that was deleted is left out.
    """
    for function in (function for part in _parts(dataset) for function in part._functions()):
        references = function.function.graph._weak_variables
        yield from (variable for reference in references if (variable := reference()) is not None)


def uses_any(dataset: tf.data.Dataset, variables: Iterable[Any]) -> bool:
    """Whether a function of the pipeline uses one of these variables."""
    own = {id(variable) for variable in components(variables)}
    return any(id(variable) in own for variable in pipeline_variables(dataset))


def seeded_copy(dataset: tf.data.Dataset, seed: int, *, keep_given: bool = False) -> tf.data.Dataset:
    """A copy of the pipeline whose shuffles are seeded by `seed`, so that a repeat sees one order at every rate.

    What the pipeline draws otherwise, by `tf.data.Dataset.random`, begins from the seeds that the user has given. So do
    the shuffles that have seeds, if `keep_given`.
    Several shuffles get different seeds, unless the user has given them the same to keep their elements together.
    A cache of what is drawn is the copy's own: otherwise each run would read what the first one has drawn. Any other is
    shared, since it is filled once. A pipeline that cannot be serialized is returned as it is.
    """
    own_caches = _caches_draws(dataset)
    places: dict[Any, int] = {}

    def reseed(definition: tf.compat.v1.GraphDef) -> None:
        if own_caches:
            _own_files(definition)
        _rename_resources(definition, _RESOURCE_INPUTS if own_caches else {*_RESOURCE_INPUTS} - {_CACHE})
        _reseed(definition.node, seed, places, suffix="", keep_given=keep_given)
        for function in definition.library.function:
            _reseed(function.node_def, seed, places, suffix=":output:0", keep_given=keep_given)

    return edited_copy(dataset, reseed)


def _reseed(nodes: Any, seed: int, places: dict[Any, int], *, suffix: str, keep_given: bool) -> None:
    """Seeds the shuffles among `nodes`: those that share a seed of the user's share the new one, too."""
    values = _constants(nodes)
    for node in [node for node in nodes if node.op == _SHUFFLE]:
        found = [values.get(_source(node, place)) for place in _SEED_INPUTS]
        former = tuple(None if tensor is None else tf.make_ndarray(tensor).item() for tensor in found)
        given = any(former) and None not in former
        if given and keep_given:
            continue
        place = places.setdefault(former if given else len(places), len(places) + 1)
        for part, (position, value) in enumerate(zip(_SEED_INPUTS, (seed + 1, place), strict=True)):
            constant = _constant(f"keras_lr_seed_{place}_{part}_{len(nodes)}", value)
            nodes.append(constant)
            node.input[position] = constant.name + suffix


def _constant(name: str, value: int) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.int64.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=tf.int64, shape=[]))
    return node


class EpochReader:
    """Reads a dataset epoch by epoch with the passes that `fit` makes, so that it leaves the state that `fit` leaves.

    Once `fit` has trained the number of batches that it knows, it opens another iterator, which a shuffle counts
    although nothing is read from it. Of a dataset that does not know its number of batches, `fit` runs the first epoch
    until a step finds no batch. That step fails, but not before what needs no batch has run, such as the count of the
    optimizer's iterations. From then on an epoch has at most as many steps, the failed one included. A validation
    counts anew in each epoch.

    Args:
        dataset: The dataset.
        steps_per_call: Number of steps that `fit` runs in one call.
        validates: Whether it is read for validation.
        held: Its epochs in memory, to read instead.

    Attributes:
        dataset: What the present epoch reads.
        steps_per_call: As given.
        validates: As given.
        limit: Number of steps of the present epoch at most; None if it is not limited yet.
    """

    def __init__(
        self, dataset: tf.data.Dataset, steps_per_call: int, *, validates: bool = False, held: HeldEpochs | None = None
    ) -> None:
        self.dataset = dataset
        self.steps_per_call = steps_per_call
        self.validates = validates
        self.limit: int | None = None
        self._held = held
        self._knows_length = dataset.cardinality() >= 0

    def begin(self, epoch: int) -> None:
        """Goes to an epoch, from 0. A dataset that is not held in memory yields each one once, in their order."""
        if self.validates:
            self.limit = None
        if self._held is not None:
            self.dataset = self._held.epoch(epoch)

    def end(self, steps: int) -> bool:
        """Ends an epoch after `steps` steps; returns whether `fit` would have tried another one, which fails."""
        calls = -(-steps // self.steps_per_call)
        if self._knows_length or (self.limit is not None and calls * self.steps_per_call >= self.limit):
            if self._held is None:
                iter(self.dataset)
            return False
        if self.limit is None:
            self.limit = (calls + 1) * self.steps_per_call
        return self.steps_per_call == 1


class HeldEpochs:
    """The epochs of a dataset in memory: each is read once, when it is asked for, and may then be read by many runs.

    Args:
        reader: Reads the dataset, and nothing else does.
        most_bytes: Limit on the size of the first epoch.
        repeats: Whether the dataset yields the same in every epoch.

    Attributes:
        bytes_per_epoch: Size of the first epoch.

    Raises:
        ValueError: The first epoch has no batches, or cannot be held. The dataset has then been read from.
    """

    def __init__(self, reader: EpochReader, most_bytes: int, *, repeats: bool = False) -> None:
        self._reader = reader
        self._repeats = repeats
        self._spec = reader.dataset.element_spec
        self._epochs: list[tf.data.Dataset] = []
        self.bytes_per_epoch = self._read(most_bytes, _MOST_SHAPES)

    def reader(self) -> EpochReader:
        """Reads these epochs from the first on."""
        read = self._reader
        return EpochReader(read.dataset, read.steps_per_call, validates=read.validates, held=self)

    def epoch(self, number: int) -> tf.data.Dataset:
        """What an epoch yields, from memory."""
        if self._repeats:
            return self._epochs[0]
        while len(self._epochs) <= number:
            self._read()
        return self._epochs[number]

    def _read(self, most_bytes: float = math.inf, most_shapes: float = math.inf) -> int:
        """Reads the next epoch, and returns its size in bytes."""
        self._reader.begin(len(self._epochs))
        groups: list[list[list[tf.Tensor]]] = []
        shapes = None
        count = size = 0
        for batch in itertools.islice(self._reader.dataset, self._reader.limit):
            tensors = tf.nest.flatten(batch)
            if not all(isinstance(one, tf.Tensor) and one.dtype not in _UNCOUNTED for one in tensors):
                raise ValueError("not dense numbers")
            if shapes != (shapes := [one.shape for one in tensors]):
                groups.append([])
            groups[-1].append(tensors)
            count += 1
            size += sum(one.dtype.size * one.shape.num_elements() for one in tensors)
            if size > most_bytes or len(groups) > most_shapes:
                raise ValueError("too large")
        if not groups:
            raise ValueError("no batches")
        self._reader.end(count)
        self._epochs.append(_from_tensors(groups, self._spec))
        return size


def _from_tensors(groups: Sequence[Sequence[Sequence[tf.Tensor]]], spec: Any) -> tf.data.Dataset:
    """A pipeline of the elements that `groups` list as flat tensors, those of a group of equal shapes."""
    with tf.device("CPU"):
        parts = [
            tf.data.Dataset.from_tensor_slices(tuple(tf.stack(tensors) for tensors in zip(*group, strict=True)))
            for group in groups
        ]
    variant = tf.data.experimental.to_variant(functools.reduce(tf.data.Dataset.concatenate, parts))
    return tf.data.experimental.from_variant(variant, spec)
