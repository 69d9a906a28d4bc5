"""The learning-rate range test: raise the rate, record each batch's own loss, put everything back."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names

__all__ = ["LRRangeTest", "find_lr"]

if TYPE_CHECKING:
    from keras_lr.range_test._callback import LRRangeTest
    from keras_lr.range_test._find_lr import find_lr
else:
    __getattr__, __dir__ = _names.lazy_names(
        __name__, {"LRRangeTest": "keras_lr.range_test._callback", "find_lr": "keras_lr.range_test._find_lr"}
    )
