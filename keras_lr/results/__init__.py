"""The results that keras_lr returns: frozen dataclasses that save to JSON, plot themselves and open in a report."""

from typing import TYPE_CHECKING

from keras_lr._utils import names as _names
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog
from keras_lr.results._diagnosis import Diagnosis, Finding, HistoryComparison
from keras_lr.results._range_test import RangeTestResult, Refinement, Suggestion
from keras_lr.results._schedule import SchedulePreview
from keras_lr.results._sensitivity import SensitivityResult

__all__ = [
    "AutoLRAction",
    "AutoLRLog",
    "Diagnosis",
    "Finding",
    "HistoryComparison",
    "RangeTestResult",
    "Refinement",
    "SchedulePreview",
    "SensitivityResult",
    "Suggestion",
]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
