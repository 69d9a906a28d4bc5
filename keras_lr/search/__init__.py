"""Searches over learning rates, a log grid and a race, built on KerasTuner."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names
from keras_lr.search._race_search import RaceSearch
from keras_lr.search._tuner import LogGridSearch

__all__ = ["LogGridSearch", "RaceSearch"]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
