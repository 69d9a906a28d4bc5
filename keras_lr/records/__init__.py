"""Frozen dataclasses: what one part of the package hands to the next."""

from keras_lr.records.auto_lr import AutoLRAction, AutoLRLog
from keras_lr.records.diagnosis import Diagnosis, Finding, HistoryComparison
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.schedule import SchedulePreview
from keras_lr.records.sensitivity import SensitivityResult
from keras_lr.records.suggestion import Suggestion

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
