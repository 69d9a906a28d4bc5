"""Keras callbacks, and the range test in one call."""

from keras_lr.callbacks.auto_lr import AutoLR
from keras_lr.callbacks.find_lr import find_lr
from keras_lr.callbacks.history_monitor import HistoryMonitor
from keras_lr.callbacks.lr_recorder import LRRecorder
from keras_lr.callbacks.momentum_cycle import MomentumCycle
from keras_lr.callbacks.range_test import LRRangeTest
from keras_lr.callbacks.reduce_on_plateau import ReduceOnPlateau
from keras_lr.callbacks.report_callback import ReportCallback

__all__ = [
    "AutoLR",
    "HistoryMonitor",
    "LRRangeTest",
    "LRRecorder",
    "MomentumCycle",
    "ReduceOnPlateau",
    "ReportCallback",
    "find_lr",
]
