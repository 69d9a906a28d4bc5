"""Keras callbacks: they measure, schedule, record and repair the learning rate while a model trains."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names
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

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
