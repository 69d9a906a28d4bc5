"""Judging what was measured: numpy, scipy and pandas only."""

from keras_lr.analysis.suggestion import suggest

__all__ = ["suggest"]
