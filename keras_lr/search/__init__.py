"""A search over a log grid of learning rates, built on KerasTuner."""

from keras_lr.search._tuner import LogGridSearch

__all__ = ["LogGridSearch"]
