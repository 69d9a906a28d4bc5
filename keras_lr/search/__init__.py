"""Searches over learning rates, a log grid and a race, built on KerasTuner."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names

__all__ = ["LogGridSearch", "RaceSearch"]

if TYPE_CHECKING:
    from keras_lr.search._race_search import RaceSearch
    from keras_lr.search._tuner import LogGridSearch
else:
    __getattr__, __dir__ = _names.lazy_names(
        __name__, {"LogGridSearch": "keras_lr.search._tuner", "RaceSearch": "keras_lr.search._race_search"}
    )
