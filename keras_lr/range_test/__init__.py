"""The learning-rate range test: raise the rate, record each batch's own loss, put everything back."""

from keras_lr.range_test._callback import LRRangeTest
from keras_lr.range_test._find_lr import find_lr

__all__ = ["LRRangeTest", "find_lr"]
