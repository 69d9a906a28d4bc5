"""Choose, schedule, diagnose and explain the learning rate of a Keras model.

Importing this module is fast: each public name loads what it needs when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__version__ = "0.1.0"

# The module that defines each name.
_HOMES = {
    "AutoLR": "keras_lr.callbacks",
    "AutoLRLog": "keras_lr.results",
    "Diagnosis": "keras_lr.results",
    "Finding": "keras_lr.results",
    "HistoryComparison": "keras_lr.results",
    "HistoryMonitor": "keras_lr.callbacks",
    "LRRangeTest": "keras_lr.range_test",
    "LRRecorder": "keras_lr.callbacks",
    "MomentumCycle": "keras_lr.callbacks",
    "LogGridSearch": "keras_lr.search",
    "RangeTestResult": "keras_lr.results",
    "ReduceOnPlateau": "keras_lr.callbacks",
    "Report": "keras_lr.report",
    "ReportCallback": "keras_lr.callbacks",
    "SchedulePreview": "keras_lr.results",
    "SensitivityResult": "keras_lr.results",
    "Suggestion": "keras_lr.results",
    "analyze_histories": "keras_lr.analysis",
    "analyze_history": "keras_lr.analysis",
    "discriminative": "keras_lr.optimizers",
    "find_lr": "keras_lr.range_test",
    "suggest": "keras_lr.analysis",
}
_MODULES = (
    "analysis",
    "callbacks",
    "devices",
    "errors",
    "optimizers",
    "plots",
    "range_test",
    "report",
    "results",
    "schedules",
    "search",
)

__all__ = sorted([*_HOMES, *_MODULES, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"keras_lr.{name}")
    else:
        raise AttributeError(f"module 'keras_lr' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if "keras" in sys.modules:
    # Registers the schedules with Keras, so that a saved model can be loaded.
    importlib.import_module("keras_lr.schedules")
