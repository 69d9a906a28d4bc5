"""Every exception keras_lr raises on purpose.

KerasLRError
├── InvalidArgumentError (ValueError)      an argument breaks its rule
│   └── InvalidRangeError                  a range of learning rates is not one
├── ModelError (ValueError)                the model cannot be trained or swept as it is
├── DataError (RuntimeError)               the training data is empty or failed
├── DeviceError (RuntimeError)             a device is missing, or can no longer be set up
├── SearchError (RuntimeError)             a search cannot go on: another one's project, or every run failed
├── StorageError (OSError)                 a record cannot be written: read-only, or no space left
├── CurveError (ValueError)                a loss curve cannot be read
└── ResultFormatError (ValueError)         a stored result is damaged, foreign or too new

Each leaf is also a builtin, so that code which knows nothing of keras_lr can catch it. A message names the argument,
the rule, what was received, and the mend.
"""


class KerasLRError(Exception):
    """Base of every keras_lr exception."""


class InvalidArgumentError(KerasLRError, ValueError):
    """An argument breaks its rule."""


class InvalidRangeError(InvalidArgumentError):
    """A range of learning rates is empty, reversed, non-positive or non-finite."""


class ModelError(KerasLRError, ValueError):
    """The model cannot be trained or swept as it is: not compiled, or nothing to train."""


class DataError(KerasLRError, RuntimeError):
    """The training data is empty, or a batch of it failed."""


class DeviceError(KerasLRError, RuntimeError):
    """A device is missing, or TensorFlow has started its devices so that they can no longer be set up."""


class SearchError(KerasLRError, RuntimeError):
    """A search cannot go on: its project belongs to another search, or every run failed."""


class StorageError(KerasLRError, OSError):
    """A record of a search cannot be written: the directory is read-only, or no space is left."""


class CurveError(KerasLRError, ValueError):
    """A loss curve cannot be read: wrong shape, unordered learning rates, or no finite loss."""


class ResultFormatError(KerasLRError, ValueError):
    """A stored result is damaged, is not a keras_lr result, or comes from a newer version."""
