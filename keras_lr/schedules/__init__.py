"""Learning-rate schedules: pure functions of the step that run inside the graph and are registered with Keras."""

from typing import TYPE_CHECKING

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)
from keras_lr._utils import names as _names
from keras_lr.schedules._composed import Resumed, Scaled, Sequential, Warmup
from keras_lr.schedules._cycles import CosineRestarts, Cyclical, OneCycle
from keras_lr.schedules._decays import FlatCosine, InverseSqrt, Polynomial, WarmupStableDecay
from keras_lr.schedules._from_suggestion import from_suggestion, total_steps
from keras_lr.schedules._preview import preview

__all__ = [
    "CosineRestarts",
    "Cyclical",
    "FlatCosine",
    "InverseSqrt",
    "OneCycle",
    "Polynomial",
    "Resumed",
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
