"""Every exception keras_lr raises on purpose.

KerasLRError
├── InvalidArgumentError (ValueError)      an argument breaks its rule
│   └── InvalidRangeError                  a range of learning rates is empty, reversed or out of bounds
├── UnknownArgumentError (TypeError)       a keyword argument does not exist; the message says which one was meant
├── BackendError (ImportError)             Keras runs on another backend than TensorFlow
├── MissingPackageError (ImportError)      an optional package is not installed; the message says how to install it
├── ModelError (ValueError)                the model cannot be trained or swept as it is
├── DataError (RuntimeError)               the training data is empty or failed
├── DeviceError (RuntimeError)             a device is missing or can no longer be set up
├── SearchError (RuntimeError)             a search cannot continue
├── StorageError (OSError)                 a record cannot be written
├── CurveError (ValueError)                a loss curve or training history cannot be read
└── ResultFormatError (ValueError)         a stored result is damaged, foreign or too new

Each leaf is also a builtin exception, so code that does not know keras_lr can catch it. A message names the argument,
the rule, the received value and the remedy.
"""

__all__ = [
    "BackendError",
    "CurveError",
    "DataError",
    "DeviceError",
    "InvalidArgumentError",
    "InvalidRangeError",
    "KerasLRError",
    "MissingPackageError",
    "ModelError",
    "ResultFormatError",
    "SearchError",
    "StorageError",
    "UnknownArgumentError",
]


class KerasLRError(Exception):
    """Base of every keras_lr exception.

    Example:
        >>> try:
        ...     keras_lr.find_lr(model, x, y, min_lr=1.0, max_lr=0.1)
        ... except keras_lr.errors.KerasLRError as err:
        ...     print(f"No learning rate: {err}")
    """


class InvalidArgumentError(KerasLRError, ValueError):
    """An argument breaks its rule.

    Example:
        >>> keras_lr.find_lr(model, x, y, num_steps=1)
        Traceback (most recent call last):
        ...
        keras_lr.errors.InvalidArgumentError: `num_steps` must be an integer >= 2. Received: 1. Pass a whole number.
    """


class InvalidRangeError(InvalidArgumentError):
    """A range of learning rates is empty, reversed, non-positive or non-finite.

    Example:
        >>> keras_lr.find_lr(model, x, y, min_lr=1.0, max_lr=0.1)
        Traceback (most recent call last):
        ...
        keras_lr.errors.InvalidRangeError: `max_lr` must be greater than `min_lr`. ...
    """


class UnknownArgumentError(KerasLRError, TypeError):
    """A class has no argument of this name.

    Example:
        >>> keras_lr.LRRangeTest(nun_steps=100)
        Traceback (most recent call last):
        ...
        keras_lr.errors.UnknownArgumentError: ...
    """


class BackendError(KerasLRError, ImportError):
    """Keras runs on another backend than TensorFlow, or will once it is imported.

    Example:
        >>> try:
        ...     keras_lr.find_lr(model, x, y)
        ... except keras_lr.errors.BackendError:
        ...     print("Set KERAS_BACKEND=tensorflow before you import Keras.")
    """


class MissingPackageError(KerasLRError, ImportError):
    """An optional package is not installed; the message names the extra of keras_lr that installs it.

    Example:
        >>> try:
        ...     study = keras_lr.integrations.to_optuna(tuner)
        ... except keras_lr.errors.MissingPackageError as err:
        ...     print(err)
    """


class ModelError(KerasLRError, ValueError):
    """The model cannot be trained or swept as it is: it is not compiled, or has nothing to train.

    Example:
        >>> keras_lr.find_lr(keras.Sequential([keras.layers.Dense(1)]), x, y)
        Traceback (most recent call last):
        ...
        keras_lr.errors.ModelError: `model` must be compiled. ...
    """


class DataError(KerasLRError, RuntimeError):
    """The training data is empty, or one of its batches failed.

    Example:
        >>> keras_lr.find_lr(model, x[:0], y[:0])
        Traceback (most recent call last):
        ...
        keras_lr.errors.DataError: `x` must yield at least one batch. ...
    """


class DeviceError(KerasLRError, RuntimeError):
    """A device is missing, or TensorFlow has already initialized its devices, so they can no longer be set up.

    Example:
        >>> keras_lr.devices.set_up_devices(device="gpu:99")
        Traceback (most recent call last):
        ...
        keras_lr.errors.DeviceError: `device` must name a GPU that TensorFlow sees. ...
    """


class SearchError(KerasLRError, RuntimeError):
    """A search cannot continue: its project belongs to another search, or every run failed.

    Example:
        >>> keras_lr.LogGridSearch(build, project_name="new").sensitivity()
        Traceback (most recent call last):
        ...
        keras_lr.errors.SearchError: No epochs are recorded in ... yet. Call `search` first.
    """


class StorageError(KerasLRError, OSError):
    """A record of a search cannot be written: the directory is read-only, or the disk is full.

    Example:
        >>> try:
        ...     tuner.search(x, y, epochs=2, verbose=0)
        ... except keras_lr.errors.StorageError as err:
        ...     print(f"Make room, then run the same search again, and it goes on: {err}")
    """


class CurveError(KerasLRError, ValueError):
    """A loss curve or training history cannot be read: wrong shape, unordered, or without a finite loss.

    Example:
        >>> keras_lr.suggest([1e-1, 1e-3], [0.5, 2.0])
        Traceback (most recent call last):
        ...
        keras_lr.errors.CurveError: `learning_rates` must not decrease. ...
    """


class ResultFormatError(KerasLRError, ValueError):
    """A stored result is damaged, is not a keras_lr result, or was written by a newer version.

    Example:
        >>> keras_lr.RangeTestResult.from_dict(diagnosis.to_dict())
        Traceback (most recent call last):
        ...
        keras_lr.errors.ResultFormatError: The stored `kind` must be 'range_test'. Received: 'diagnosis'.
    """
