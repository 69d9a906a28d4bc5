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
    """Base of every keras_lr exception."""


class InvalidArgumentError(KerasLRError, ValueError):
    """An argument breaks its rule."""


class InvalidRangeError(InvalidArgumentError):
    """A range of learning rates is empty, reversed, non-positive or non-finite."""


class UnknownArgumentError(KerasLRError, TypeError):
    """A class has no argument of this name."""


class BackendError(KerasLRError, ImportError):
    """Keras runs on another backend than TensorFlow, or will once it is imported."""


class MissingPackageError(KerasLRError, ImportError):
    """An optional package is not installed; the message names the extra of keras_lr that installs it."""


class ModelError(KerasLRError, ValueError):
    """The model cannot be trained or swept as it is: it is not compiled, or has nothing to train."""


class DataError(KerasLRError, RuntimeError):
    """The training data is empty, or one of its batches failed."""


class DeviceError(KerasLRError, RuntimeError):
    """A device is missing, or TensorFlow has already initialized its devices, so they can no longer be set up."""


class SearchError(KerasLRError, RuntimeError):
    """A search cannot continue: its project belongs to another search, or every run failed."""


class StorageError(KerasLRError, OSError):
    """A record of a search cannot be written: the directory is read-only, or the disk is full."""


class CurveError(KerasLRError, ValueError):
    """A loss curve or training history cannot be read: wrong shape, unordered, or without a finite loss."""


class ResultFormatError(KerasLRError, ValueError):
    """A stored result is damaged, is not a keras_lr result, or was written by a newer version."""
