"""Keras callbacks: they measure, schedule, record and repair the learning rate while a model trains."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names

__all__ = [
    "AutoLR",
    "HistoryMonitor",
    "LRRangeTest",
    "LRRecorder",
    "MomentumCycle",
    "ReduceOnPlateau",
    "ReportCallback",
]

if TYPE_CHECKING:
    from keras_lr.callbacks._auto_lr import AutoLR
    from keras_lr.callbacks._history_monitor import HistoryMonitor
    from keras_lr.callbacks._lr_recorder import LRRecorder
    from keras_lr.callbacks._momentum_cycle import MomentumCycle
    from keras_lr.callbacks._reduce_on_plateau import ReduceOnPlateau
    from keras_lr.callbacks._report_callback import ReportCallback
    from keras_lr.range_test import LRRangeTest
else:
    _HOMES = {
        "AutoLR": "keras_lr.callbacks._auto_lr",
        "HistoryMonitor": "keras_lr.callbacks._history_monitor",
        "LRRangeTest": "keras_lr.range_test",
        "LRRecorder": "keras_lr.callbacks._lr_recorder",
        "MomentumCycle": "keras_lr.callbacks._momentum_cycle",
        "ReduceOnPlateau": "keras_lr.callbacks._reduce_on_plateau",
        "ReportCallback": "keras_lr.callbacks._report_callback",
    }
    __getattr__, __dir__ = _names.lazy_names(__name__, _HOMES)
