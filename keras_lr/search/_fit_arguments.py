"""What `search` was given: the arguments of `fit`, and its data as tensors where it has that form."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.batches import sliceable_arrays, split_off_validation
from keras_lr._utils.validation import whole_number
from keras_lr.errors import DataError, InvalidArgumentError

DEFAULT_BATCH_SIZE = 32
_SAMPLED_BYTES = 1 << 20
_ONLY_FIT_KNOWS = ("initial_epoch", "steps_per_epoch", "validation_steps", "validation_freq")


@dataclass(frozen=True)
class FitArguments:
    """The arguments of one `search`.

    Attributes:
        train: Training data as nested tensors with the samples along the first axis; None where it has another form.
        validation: Validation data likewise; None without any, or where it has another form.
        validates: Whether there is validation data.
        epochs: Number of epochs, at least 1.
        batch_size: Samples a batch; for data that comes in batches, the size of its first.
        validation_batch_size: Samples a validation batch; None for `batch_size`.
        shuffle: Whether the order is shuffled anew each epoch.
        callbacks: The user's callbacks.
        verbose: As given.
        given: Every argument as `fit` takes it, by name.
        foreign: What only `fit` itself can honour, by name.
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
    foreign: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of training samples, where they are tensors."""
        return sample_count(self.train)

    def first_batch(self, batch_size: int) -> Any:
        """A batch on which to build a model."""
        if self.train is not None:
            return keras.tree.map_structure(lambda part: part[:batch_size], self.train)
        return _first_element(self.given["x"])


def fingerprint(data: Any) -> dict[str, Any]:
    """What tells nested tensors from others; for data that comes in batches, None in their place, nothing."""
    leaves = [np.asarray(part) for part in keras.tree.flatten(data) if part is not None]
    return {
        "samples": sample_count(data) if data is not None else None,
        "shapes": [list(leaf.shape[1:]) for leaf in leaves],
        "checksum": [_checksum(leaf) for leaf in leaves],
    }


def parse_fit_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], *, own_fit: bool = False) -> FitArguments:
    """Reads the arguments of `search`, which are those of `fit`.

    Args:
        args: Positional arguments.
        kwargs: Arguments by name.
        own_fit: Whether the hypermodel has a `fit` of its own, which may take further arguments.

    Raises:
        InvalidArgumentError: An argument is unknown or breaks its rule.
        DataError: The data is missing or empty.
    """
    given = _bound(args, {name: value for name, value in kwargs.items() if not own_fit or name in _DEFAULTS})
    epochs = whole_number("epochs", given.get("epochs", 1))
    x, y, weight = given.get("x"), given.get("y"), given.get("sample_weight")
    validation = given.get("validation_data")
    if x is None:
        raise DataError("`search` must be given training data. Received none. Pass `x`, and `y` where it needs one.")
    if validation is None and given.get("validation_split"):
        (x, y, weight), validation = split_off_validation((x, y, weight), given["validation_split"])
        given.update(x=x, y=y, sample_weight=weight, validation_data=validation)
    given.pop("validation_split", None)
    _check_reread("x", x)
    _check_reread("validation_data", validation)
    train = _as_tensors(x, y, weight, given.get("class_weight"))
    batch_size = given.get("batch_size")
    if batch_size is None:
        batch_size = DEFAULT_BATCH_SIZE if train is not None else _batch_size_of(x)
    shuffle = given.get("shuffle", True)
    foreign = {name: given[name] for name in _ONLY_FIT_KNOWS if given.get(name, _DEFAULTS[name]) != _DEFAULTS[name]}
    return FitArguments(
        train=train if isinstance(shuffle, (bool, np.bool_)) else None,
        validation=_validation_tensors(validation),
        validates=validation is not None,
        epochs=epochs,
        batch_size=whole_number("batch_size", batch_size),
        validation_batch_size=given.get("validation_batch_size"),
        shuffle=bool(shuffle),
        callbacks=_callbacks(given.get("callbacks")),
        verbose=given.get("verbose", "auto"),
        given=given,
        foreign=foreign,
    )


def _check_reread(name: str, data: Any) -> None:
    if isinstance(data, Iterator):
        raise DataError(
            f"`{name}` must be data that can be read again for each run. Received: {type(data).__name__}, which is "
            f"spent after one. Pass arrays, a tf.data.Dataset or a PyDataset."
        )


def sample_count(data: Any) -> int:
    """Number of samples in nested tensors."""
    return int(keras.tree.flatten(data)[0].shape[0])


_PARAMETERS = list(inspect.signature(keras.Model.fit).parameters.values())[1:]
_DEFAULTS = {parameter.name: parameter.default for parameter in _PARAMETERS}


def _bound(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(inspect.Signature(_PARAMETERS).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise InvalidArgumentError(
            f"`search` must be given the arguments of `model.fit`. Received: {len(args)} positional and "
            f"{sorted(kwargs)}; {error}. Correct or drop it."
        ) from error


def _callbacks(callbacks: Any) -> tuple[keras.callbacks.Callback, ...]:
    if callbacks is None:
        return ()
    return tuple(callbacks) if isinstance(callbacks, (list, tuple)) else (callbacks,)


def _validation_tensors(validation: Any) -> Any:
    if not isinstance(validation, (tuple, list)):
        return None
    return _as_tensors(*keras.utils.unpack_x_y_sample_weight(tuple(validation)))


def _as_tensors(x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Any:
    """The data as Keras converts it, as one batch; None where it is not made of dense arrays."""
    arrays = sliceable_arrays(x, y, sample_weight, class_weight)
    if arrays is None:
        return None
    if sample_count(arrays) < 1:
        raise _empty()
    if not all(isinstance(leaf, (np.ndarray, tf.Tensor)) for leaf in keras.tree.flatten(arrays)):
        return None
    return keras.tree.map_structure(tf.convert_to_tensor, arrays)


def _empty() -> DataError:
    return DataError("The data must hold at least one sample. Received none. Pass data that is not empty.")


def _first_element(batches: Any) -> Any:
    if isinstance(batches, keras.utils.PyDataset):
        return batches[0]
    if isinstance(batches, tf.data.Dataset):
        return next(iter(batches.take(1)), None)
    return None


def _batch_size_of(batches: Any) -> int:
    first = _first_element(batches)
    if first is None and isinstance(batches, tf.data.Dataset):
        raise _empty()
    if first is None:
        return DEFAULT_BATCH_SIZE
    return int(np.shape(keras.tree.flatten(first)[0])[0])


def _checksum(leaf: np.ndarray) -> int:
    data = leaf if leaf.dtype != object else np.asarray(leaf.ravel()[:1000], dtype="S")
    step = max(1, data.nbytes // _SAMPLED_BYTES)
    return zlib.crc32(np.ascontiguousarray(data[::step]).tobytes())
