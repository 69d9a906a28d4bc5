"""Judging what was measured: numpy, scipy and pandas only."""

from keras_lr.analysis._diagnosis.compare import analyze_histories
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._suggestion.suggest import suggest

__all__ = ["analyze_histories", "analyze_history", "suggest"]
