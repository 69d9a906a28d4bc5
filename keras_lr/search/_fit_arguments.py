"""The arguments of `search`, which are those of `fit`, with the data as tensors if it consists of arrays."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.batches import (
    check_class_weight,
    check_data_types,
    check_is_readable,
    no_batch,
    readers_of,
    sliceable_arrays,
    split_off_validation,
)
from keras_lr._keras.model import forward, is_distributed, is_own_step, loss_of
from keras_lr._keras.reader_state import ReaderStart, changeable_objects_in, objects_of_keras_in, variables_of
from keras_lr._keras.running_fit import facts_of_training
from keras_lr._keras.snapshot import RandomState
from keras_lr._keras.tf_data import independent
from keras_lr._keras.traced_state import undone
from keras_lr._utils.formatting import with_article
from keras_lr._utils.names import similar_name
from keras_lr._utils.validation import whole_number
from keras_lr.errors import DataError, InvalidArgumentError
from keras_lr.range_test._data_checks import (
    check_validation_batch,
    find_bad_value,
    find_bad_value_in_batches,
    find_label_fault,
)

DEFAULT_BATCH_SIZE = 32
ALIGNMENT = 64
"""TensorFlow can share the memory of an array whose address is a multiple of this; of any other it makes two copies."""

_LARGE_BYTES = 1 << 20
_MOST_BATCHES = 10_000
_REMEDY = "Replace or remove such values: no learning rate can be judged by them."
_ONLY_FIT_KNOWS = ("initial_epoch", "steps_per_epoch", "validation_steps", "validation_freq")


@dataclass(frozen=True)
class FitArguments:
    """The arguments of one `search`.

    Attributes:
        train: Training data as nested tensors, or arrays if another process trains on them, with the samples along the
            first axis; None for data of another kind.
        validation: Validation data likewise; None if there is none or it is of another kind.
        validates: Whether there is validation data.
        epochs: Number of epochs, at least 1.
        batch_size: Samples per batch; for data that comes in batches, the size of the first one.
        validation_batch_size: Samples per validation batch; None for `batch_size`.
        shuffle: Whether the samples are shuffled before each epoch.
        callbacks: The user's callbacks.
        verbose: As given.
        given: Every argument as `fit` takes it, by name.
        fit_only: The arguments that only `fit` itself supports, by name.
        of_own_fit: Further arguments, which only a `fit` or a `run_trial` of the user's takes, by name.
        readers: Where the code that reads the data starts, before anything is read, and the variables of `held`.
        held: What callbacks share with other code: variables, such as the weight of a loss, layers, metrics,
            optimizers, and objects that the hypermodel or the code that reads the data refers to.
    """

    train: Any
    validation: Any
    validates: bool
    epochs: int
    batch_size: int
    validation_batch_size: int | None
    shuffle: bool
    callbacks: tuple[keras.callbacks.Callback, ...]
    verbose: Any
    given: Mapping[str, Any]
    fit_only: Mapping[str, Any] = field(default_factory=dict)
    of_own_fit: Mapping[str, Any] = field(default_factory=dict)
    readers: ReaderStart = field(default_factory=ReaderStart)
    held: tuple[Any, ...] = ()

    @property
    def size(self) -> int:
        """Number of training samples; requires `train`."""
        return sample_count(self.train)

    def given_arrays(self) -> dict[str, Any]:
        """`given`, with the data from `train` if `given` lacks them."""
        given = dict(self.given)
        if self.train is not None and "x" not in given:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(np.asarray, self.train))
            # The weights of the samples include those of the classes.
            given.pop("class_weight", None)
            given |= {"x": x, "y": y, "sample_weight": weight}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def outside_graph(self) -> str:
        """Why a compiled function cannot read the data by itself; empty if it can."""
        validation = self.given.get("validation_data")
        if self.train is None and not _reads_in_graph(self.given.get("x")):
            return "the data is neither made of arrays nor a finite dataset of dense batches"
        if self.validates and self.validation is None and not _reads_in_graph(validation):
            return "the validation data is neither made of arrays nor a finite dataset of dense batches"
        if self.train is None and self.given.get("class_weight") is not None:
            return "`fit` weighs the classes of a dataset"
        return ""

    def first_batch(self, batch_size: int) -> Any:
        """A batch to build a model on; None for data that can only be iterated."""
        if self.train is not None:
            return _rows(self.train, 0, batch_size)
        return first_element(self.given.get("x"))

    def first_validation_batch(self, batch_size: int) -> Any:
        """As `first_batch`, of the validation data; for a dataset the specifications of its batches."""
        if self.validation is not None:
            return _rows(self.validation, 0, batch_size)
        data = self.given.get("validation_data")
        return data if isinstance(data, (np.ndarray, dict)) else _sample_of(data)

    @property
    def validated_epochs(self) -> tuple[int, ...]:
        """Numbers of the epochs after which `fit` validates, from 0."""
        frequency = self.given.get("validation_freq", 1)
        epochs = range(self.given.get("initial_epoch", 0), self.epochs) if self.validates else ()
        if isinstance(frequency, (int, np.integer)):
            return tuple(epoch for epoch in epochs if frequency > 0 and (epoch + 1) % frequency == 0)
        return tuple(epoch for epoch in epochs if epoch + 1 in frequency)


def parse_fit_arguments(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    own_fit: bool = False,
    searches_batch_size: bool = False,
    as_tensors: bool = True,
    code: Sequence[Any] = (),
) -> FitArguments:
    """Checks and sorts the arguments of `search`.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        own_fit: Whether a `fit` or a `run_trial` of the user's takes them. They may then be any, or lack the data.
        searches_batch_size: Whether each run has a batch size of its own.
        as_tensors: Whether arrays become tensors, which another copy of them may be made for.
        code: What builds the models.

    Raises:
        InvalidArgumentError: An argument is unknown or invalid.
        DataError: The data is missing, empty or not in batches.
    """
    of_own_fit = {name: value for name, value in kwargs.items() if own_fit and name not in FIT_DEFAULTS}
    given = _bound(args, {name: value for name, value in kwargs.items() if name not in of_own_fit}, own_fit=own_fit)
    epochs = whole_number("epochs", given.get("epochs", 1))
    epochs = _limit(given, epochs)
    x, y, weight = given.get("x"), given.get("y"), given.get("sample_weight")
    validation = given.get("validation_data")
    if not own_fit:
        _check_counts(given, epochs)
        _check_callbacks(given.get("callbacks"))
        _check_parts(validation)
        check_class_weight(given.get("class_weight"), weight)
    readers, held = ReaderStart(), []
    if as_tensors:
        reading, callbacks = [*readers_of(x), *readers_of(validation)], _callbacks(given.get("callbacks"))
        held = objects_of_keras_in(_code_in(callbacks))
        shared = _shared_with(callbacks, [*reading, *code], held) if callbacks else []
        readers = ReaderStart([*reading, *shared], variables_of(held))
        held += shared
    if x is None and not own_fit:
        raise DataError(
            "`search` needs training data, but `x` is None. Pass `x`, and `y` unless `x` holds the targets."
        )
    if validation is None and given.get("validation_split"):
        (x, y, weight), validation = split_off_validation((x, y, weight), given["validation_split"])
        given.update(x=x, y=y, sample_weight=weight, validation_data=validation)
    given.pop("validation_split", None)
    _check_reread("x", x)
    _check_reread("validation_data", validation)
    if not own_fit:
        _check_data(given)
    convert = _as_tensor if as_tensors else np.asarray
    train = None if x is None else _as_nested(convert, x, y, weight, given.get("class_weight"))
    validation_arrays = _nested_validation(convert, validation)
    batch_size, validation_batch_size = given.get("batch_size"), given.get("validation_batch_size")
    if batch_size is None and train is not None:
        batch_size = _usual_batch_size(train, given.get("steps_per_epoch"))
        if validation_batch_size is None and validation_arrays is not None and not searches_batch_size:
            validation_batch_size = _usual_batch_size(validation_arrays, given.get("validation_steps"))
    elif batch_size is None:
        batch_size = _batch_size_of(x)
    shuffle = given.get("shuffle", True)
    return FitArguments(
        train=train if isinstance(shuffle, (bool, np.bool_)) else None,
        validation=validation_arrays,
        validates=validation is not None,
        epochs=epochs,
        batch_size=whole_number("batch_size", batch_size),
        validation_batch_size=validation_batch_size,
        shuffle=bool(shuffle),
        callbacks=_callbacks(given.get("callbacks")),
        verbose=given.get("verbose", "auto"),
        given=given,
        fit_only={name: given[name] for name in _ONLY_FIT_KNOWS if given.get(name) not in (None, FIT_DEFAULTS[name])},
        of_own_fit=of_own_fit,
        readers=readers,
        held=tuple(held),
    )


def _check_data(given: Mapping[str, Any]) -> None:
    """Raises `DataError` for data that `fit` does not read, or never to an end."""
    x, validation = given.get("x"), given.get("validation_data")
    beside = {"y": given.get("y"), "sample_weight": given.get("sample_weight")}
    check_data_types(x=x, **beside)
    for name, data in (("x", x), ("validation_data", validation)):
        check_is_readable(name, data)
    _check_beside_batches(x, **beside)
    for name, data in (("x", x), ("validation_data", validation)):
        _check_batched(name, data)
    _check_ends("x", x, argument="steps_per_epoch", steps=given.get("steps_per_epoch"))
    _check_ends("validation_data", validation, argument="validation_steps", steps=given.get("validation_steps"))


def _limit(given: dict[str, Any], epochs: int) -> int:
    """Applies the limits that `keras.config` can set to every `fit`, and returns the number of epochs."""
    most_epochs, most_steps = (
        getattr(keras.config, name, lambda: None)() for name in ("max_epochs", "max_steps_per_epoch")
    )
    if most_steps:
        validates = given.get("validation_data") is not None or given.get("validation_split")
        for name in ("steps_per_epoch", *(["validation_steps"] if validates else [])):
            given[name] = min(given.get(name) or most_steps, most_steps)
    if most_epochs and most_epochs < epochs:
        given["epochs"] = epochs = most_epochs
    return epochs


def _check_counts(given: Mapping[str, Any], epochs: int) -> None:
    """Raises `InvalidArgumentError` for a number of `fit` that it fails on after it has begun."""
    for name in ("steps_per_epoch", "validation_steps", "validation_batch_size"):
        if given.get(name) is not None:
            whole_number(name, given[name], least=0)
    first = given.get("initial_epoch", 0)
    if not isinstance(first, (int, np.integer)) or first >= epochs:
        raise InvalidArgumentError(
            f"`initial_epoch` must be an integer below `epochs`. Received: initial_epoch={first!r}, epochs={epochs}. "
            "Lower it, or raise `epochs`: it is the number of the last epoch, not how many follow."
        )
    frequency = given.get("validation_freq", 1)
    listed = isinstance(frequency, Iterable) and not isinstance(frequency, str)
    for one in frequency if listed else [frequency]:
        whole_number("validation_freq", one, remedy="Pass an integer, or a list of epochs, counted from 1.")


def _check_callbacks(callbacks: Any) -> None:
    for callback in _callbacks(callbacks):
        if isinstance(callback, type):
            name = callback.__name__
            raise InvalidArgumentError(f"`callbacks` must hold objects. Received the class {name}. Pass `{name}(...)`.")
        if not hasattr(callback, "set_model"):
            raise InvalidArgumentError(
                f"`callbacks` must hold instances of keras.callbacks.Callback. Received: {callback!r:.80}. Remove it."
            )


def _shared_with(callbacks: Sequence[Any], code: Sequence[Any], held: Sequence[Any]) -> list[Any]:
    """What a copy of the callbacks would copy although other code refers to it too, such as a dict of settings."""
    copied = {id(one): one for one in held}
    with suppress(Exception):
        copy.deepcopy(list(callbacks), copied)
    return [one for one in changeable_objects_in(code) if id(one) in copied]


def _code_in(callbacks: Iterable[Any]) -> Iterator[Any]:
    """The callbacks and what they hold, such as the function of a `LambdaCallback`."""
    for callback in callbacks:
        yield from (callback, *getattr(callback, "__dict__", {}).values())


def _check_parts(validation: Any) -> None:
    if isinstance(validation, (list, tuple)) and not 1 <= len(validation) <= 3:
        raise DataError(
            "`validation_data` must be `(x, y)` or `(x, y, sample_weight)`. Received: a "
            f"{type(validation).__name__} of {len(validation)}. Put several inputs in a list of their own."
        )


def _reads_in_graph(data: Any) -> bool:
    return (
        isinstance(data, tf.data.Dataset)
        and data.cardinality() != tf.data.INFINITE_CARDINALITY
        and all(isinstance(spec, tf.TensorSpec) for spec in keras.tree.flatten(data.element_spec))
    )


def _check_reread(name: str, data: Any) -> None:
    if isinstance(data, Iterator) and not isinstance(data, keras.utils.PyDataset):
        raise DataError(
            f"`{name}` must be data that can be read again for each run, but {with_article(type(data).__name__)} can "
            "be read only once. Pass arrays, a tf.data.Dataset or a PyDataset."
        )


def _check_batched(name: str, data: Any) -> None:
    """Raises `DataError` for a dataset of single samples, as far as that is seen without the model."""
    if not isinstance(data, tf.data.Dataset):
        return
    specs = [spec for spec in keras.tree.flatten(data.element_spec) if isinstance(spec, tf.TensorSpec)]
    if any(spec.shape.rank == 0 for spec in specs):
        shape = tuple(specs[0].shape)
        raise DataError(
            f"`{name}` must yield batches. Received single samples of shape {shape}, without the axis of the batch. "
            "Add `.batch(32)` to the dataset."
        )


def _check_ends(name: str, data: Any, *, argument: str, steps: Any) -> None:
    """Raises `DataError` for data without an end of which no number of batches is asked."""
    if isinstance(data, tf.data.Dataset):
        endless = data.cardinality() == tf.data.INFINITE_CARDINALITY
    else:
        endless = isinstance(data, keras.utils.PyDataset) and data.num_batches is None
    if endless and steps is None:
        raise DataError(
            f"`{name}` must end. Received data without an end, so that an epoch would never be over. Pass "
            f"`{argument}`, or leave out `repeat()`."
        )


def _check_beside_batches(x: Any, **parts: Any) -> None:
    """Raises `DataError` for what belongs into the batches of a dataset, as `fit` refuses it."""
    for name, part in parts.items():
        if part is not None and isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
            raise DataError(
                f"`{name}` must be part of the batches if `x` is a dataset. Received: `{name}` beside a "
                f"{type(x).__name__}. Let the dataset yield (inputs, targets) or (inputs, targets, sample_weights)."
            )


def sample_count(data: Any) -> int:
    """Number of samples in nested tensors."""
    return int(keras.tree.flatten(data)[0].shape[0])


_PARAMETERS = list(inspect.signature(keras.Model.fit).parameters.values())[1:]
FIT_DEFAULTS = {parameter.name: parameter.default for parameter in _PARAMETERS}
"""The arguments of `fit`, by name, with their defaults."""


def _bound(args: tuple[Any, ...], kwargs: Mapping[str, Any], *, own_fit: bool) -> dict[str, Any]:
    try:
        return dict(inspect.Signature(_PARAMETERS).bind(*args, **kwargs).arguments)
    except TypeError as error:
        if own_fit:
            return dict(kwargs)
        unknown = next((name for name in kwargs if name not in FIT_DEFAULTS), "")
        meant = similar_name(unknown, FIT_DEFAULTS) if unknown else None
        remedy = f"Did you mean `{meant}`?" if meant else "Correct or remove the one that does not fit."
        raise InvalidArgumentError(
            f"`search` takes the arguments of `model.fit`: {error}. Received: {len(args)} positional arguments and "
            f"{sorted(kwargs)}. {remedy}"
        ) from error


def _callbacks(callbacks: Any) -> tuple[keras.callbacks.Callback, ...]:
    if callbacks is None:
        return ()
    return tuple(callbacks) if isinstance(callbacks, (list, tuple)) else (callbacks,)


def _nested_validation(convert: Callable[[Any], Any], validation: Any) -> Any:
    if not isinstance(validation, (tuple, list)):
        return None
    try:
        return _as_nested(convert, *keras.utils.unpack_x_y_sample_weight(tuple(validation)))
    except DataError as error:
        raise DataError(f"In `validation_data`: {error}") from error


def _as_nested(convert: Callable[[Any], Any], x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Any:
    """The data as Keras converts it, as one batch; None unless it consists of dense arrays."""
    arrays = sliceable_arrays(x, y, sample_weight, class_weight)
    if arrays is None:
        return None
    if sample_count(arrays) < 1:
        raise no_batch()
    if not all(isinstance(leaf, (np.ndarray, tf.Tensor)) for leaf in keras.tree.flatten(arrays)):
        return None
    return keras.tree.map_structure(convert, arrays)


def _as_tensor(array: Any) -> tf.Tensor:
    """An array as a tensor, which shares its memory if that is aligned and TensorFlow computes there."""
    if (
        isinstance(array, np.ndarray)
        and array.nbytes >= _LARGE_BYTES
        and array.ctypes.data % ALIGNMENT == 0
        and array.flags.c_contiguous
        and array.flags.writeable
        and not tf.config.list_logical_devices("GPU")
    ):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)


def _rows(data: Any, start: int, stop: int) -> Any:
    return keras.tree.map_structure(lambda part: tf.convert_to_tensor(part[start:stop]), data)


def first_element(batches: Any) -> Any:
    """The first batch of a dataset; None for data that can only be iterated."""
    if isinstance(batches, keras.utils.PyDataset):
        return batches[0]
    if isinstance(batches, tf.data.Dataset):
        return next(iter(batches.take(1)), None)
    return None


def batches_of(data: Any, most: int) -> Iterable[Any]:
    """At most the first `most` batches of a dataset, read without changing what it yields later; none of other data."""
    if isinstance(data, keras.utils.PyDataset) and data.num_batches is not None:
        return (data[number] for number in range(min(data.num_batches, most)))
    return itertools.islice(independent(data), most) if isinstance(data, tf.data.Dataset) else ()


def facts_of(model: keras.Model, arguments: FitArguments) -> dict[str, Any]:
    """What is known of the runs beside their series, as plain JSON values, without what is unknown.

    The untrained loss is that of the first batch of arrays and of the initial weights, which `model` must have. It is
    left out if samples are weighted, since the validation loss is not.
    """
    steps, size = arguments.given.get("steps_per_epoch"), arguments.batch_size
    if arguments.train is None:
        return facts_of_training(model, targets=None, batch_size=size, steps_per_epoch=steps)
    _, targets, weights = keras.utils.unpack_x_y_sample_weight(arguments.train)
    targets, steps = targets if weights is None else None, steps or -(-arguments.size // size)
    found = facts_of_training(model, targets=targets, batch_size=size, steps_per_epoch=steps)
    untrained = None if weights is not None else _untrained_loss(model, arguments)
    return found if untrained is None else {**found, "untrained_loss": untrained}


def _untrained_loss(model: keras.Model, arguments: FitArguments) -> float | None:
    """The loss of the first batch; None if it cannot be computed outside of a step, or is not finite."""
    with undone(model):
        try:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(arguments.first_batch(arguments.batch_size))
            loss = float(loss_of(model, x, y, forward(model, x, training=False), weight, training=False))
        except Exception:
            # A model whose `train_step` alone understands the data.
            return None
    return loss if np.isfinite(loss) else None


def data_fault(model: keras.Model, arguments: FitArguments) -> str:
    """Why nothing can be trained on the arrays, whatever the learning rate; empty if nothing is known to be wrong.

    A value that is not finite counts only if a step on its batch breaks the model, which may well replace or mask it.
    A label outside the classes raises `DataError`.
    """
    for step, data, place in (
        (model.train_step, arguments.train, ""),
        (model.test_step, arguments.validation, "In `validation_data`: "),
    ):
        if data is None:
            continue
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if (sentence := find_label_fault(model, y)) is not None:
            raise DataError(f"{place}{sentence}")
        bad = find_bad_value(x, y, weight)
        if bad is not None:
            start = bad.index - bad.index % arguments.batch_size
            if _breaks(model, step, _rows(data, start, start + arguments.batch_size)):
                return f"{place}{bad} {_REMEDY}"
    return ""


def check_validation(model: keras.Model, arguments: FitArguments) -> None:
    """Raises `DataError` if the validation data does not fit the model, which `fit` meets after an epoch.

    Data of the kinds and shapes of the training data fits, unless the model has a `train_step` of its own.
    """
    if not arguments.validated_epochs or model.run_eagerly or is_distributed(model):
        return
    random_state = RandomState()
    try:
        batch = arguments.first_validation_batch(arguments.batch_size)
        trained = _sample_of(arguments.given.get("x")) if arguments.train is None else arguments.train
    finally:
        random_state.restore()
    if batch is None or (_kinds(batch) == _kinds(trained) and not is_own_step(model)):
        return
    given = arguments.given["validation_data"]
    check_validation_batch(model, batch, of_dataset=isinstance(given, (tf.data.Dataset, keras.utils.PyDataset)))


def _sample_of(data: Any) -> Any:
    """The first batch of a PyDataset; the specifications of a dataset's batches; None for other data."""
    return data.element_spec if isinstance(data, tf.data.Dataset) else first_element(data)


def _kinds(batch: Any) -> Any:
    """The shapes per sample and the kinds of numbers of the inputs and the targets."""

    def kind(leaf: Any) -> str:
        return "" if leaf is None else f"{tf.as_dtype(leaf.dtype).is_floating} {leaf.shape[1:]}"

    x, y, _ = (None, None, None) if batch is None else keras.utils.unpack_x_y_sample_weight(batch)
    return keras.tree.lists_to_tuples(keras.tree.map_structure(kind, (x, y)))


def fault_in_batches(arguments: FitArguments) -> str:
    """The first value in datasets that is not finite, as a sentence; empty if there is none among the first batches.

    Reading the data takes time, so this is asked only once every run has diverged at once.
    """
    most = arguments.given.get("steps_per_epoch") or _MOST_BATCHES
    for name, place in (("x", ""), ("validation_data", "In `validation_data`: ")):
        try:
            bad = find_bad_value_in_batches(batches_of(arguments.given.get(name), most))
        except Exception:
            continue
        if bad is not None:
            return f"{place}{bad} {_REMEDY}"
    return ""


def _breaks(model: keras.Model, step: Any, batch: Any) -> bool:
    """Whether a step on `batch` gives a loss or weights that are not finite; the model stays as it is."""
    if is_distributed(model):
        return True
    with undone(model):
        try:
            model.reset_metrics()
            logs = step(batch)
            values = [*logs.values(), *(weight.value for weight in model.trainable_weights)]
            return not all(bool(tf.reduce_all(tf.math.is_finite(tf.cast(value, tf.float32)))) for value in values)
        except Exception:
            return False


def _usual_batch_size(arrays: Any, steps: int | None) -> int:
    """The size of the batches into which `fit` divides arrays without `batch_size`, but perhaps with their number."""
    return -(-sample_count(arrays) // steps) if steps else DEFAULT_BATCH_SIZE


def _batch_size_of(batches: Any) -> int:
    first = first_element(batches)
    if first is None and isinstance(batches, tf.data.Dataset):
        raise no_batch()
    if first is None:
        return DEFAULT_BATCH_SIZE
    return int(np.shape(keras.tree.flatten(first)[0])[0])
