"""Keras callbacks, and the range test in one call."""

from keras_lr.callbacks.auto_lr import AutoLR
from keras_lr.callbacks.find_lr import find_lr
from keras_lr.callbacks.history_monitor import HistoryMonitor
from keras_lr.callbacks.range_test import LRRangeTest

__all__ = ["AutoLR", "HistoryMonitor", "LRRangeTest", "find_lr"]
