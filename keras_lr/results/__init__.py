"""Frozen dataclasses: what one part of the package hands to the next."""

from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog
from keras_lr.results._diagnosis import Diagnosis, Finding, HistoryComparison
from keras_lr.results._range_test import RangeTestResult, Suggestion
from keras_lr.results._schedule import SchedulePreview
from keras_lr.results._sensitivity import SensitivityResult

__all__ = [
    "AutoLRAction",
    "AutoLRLog",
    "Diagnosis",
    "Finding",
    "HistoryComparison",
    "RangeTestResult",
    "SchedulePreview",
    "SensitivityResult",
    "Suggestion",
]
