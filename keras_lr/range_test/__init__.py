"""The learning-rate range test: raise the rate, record each batch's own loss, put everything back."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.range_test._find_lr import find_lr

__all__ = ["LRRangeTest", "find_lr"]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
