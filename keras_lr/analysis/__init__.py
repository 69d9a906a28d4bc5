"""Judging what was measured: numpy, scipy and pandas only."""

from keras_lr.analysis.comparison import analyze_histories
from keras_lr.analysis.diagnosis import analyze_history
from keras_lr.analysis.suggestion import suggest

__all__ = ["analyze_histories", "analyze_history", "suggest"]
