"""Learning-rate schedules: pure functions of the step that run inside the graph and are registered with Keras."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names
from keras_lr.schedules._cosine_restarts import CosineRestarts
from keras_lr.schedules._cyclical import Cyclical
from keras_lr.schedules._flat_cosine import FlatCosine
from keras_lr.schedules._from_suggestion import from_suggestion, total_steps
from keras_lr.schedules._inverse_sqrt import InverseSqrt
from keras_lr.schedules._one_cycle import OneCycle
from keras_lr.schedules._polynomial import Polynomial
from keras_lr.schedules._preview import preview
from keras_lr.schedules._scaled import Scaled
from keras_lr.schedules._sequential import Sequential
from keras_lr.schedules._warmup import Warmup
from keras_lr.schedules._warmup_stable_decay import WarmupStableDecay

__all__ = [
    "CosineRestarts",
    "Cyclical",
    "FlatCosine",
    "InverseSqrt",
    "OneCycle",
    "Polynomial",
    "Scaled",
    "Sequential",
    "Warmup",
    "WarmupStableDecay",
    "from_suggestion",
    "preview",
    "total_steps",
]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
