"""Keras callbacks: they measure, schedule, record and repair the learning rate while a model trains."""

from keras_lr.callbacks._auto_lr import AutoLR
from keras_lr.callbacks._history_monitor import HistoryMonitor
from keras_lr.callbacks._lr_recorder import LRRecorder
from keras_lr.callbacks._momentum_cycle import MomentumCycle
from keras_lr.callbacks._reduce_on_plateau import ReduceOnPlateau
from keras_lr.callbacks._report_callback import ReportCallback
from keras_lr.range_test import LRRangeTest

__all__ = [
    "AutoLR",
    "HistoryMonitor",
    "LRRangeTest",
    "LRRecorder",
    "MomentumCycle",
    "ReduceOnPlateau",
    "ReportCallback",
]
