"""Measuring what each learning rate leads to: a log-grid search on KerasTuner."""

from keras_lr.search._tuner import LogGridSearch

__all__ = ["LogGridSearch"]
