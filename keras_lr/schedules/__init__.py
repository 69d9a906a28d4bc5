"""Learning-rate schedules: each a pure function of the step, registered with Keras, run inside the graph."""

from keras_lr.records.schedule import SchedulePreview
from keras_lr.schedules.cosine_restarts import CosineRestarts
from keras_lr.schedules.cyclical import Cyclical
from keras_lr.schedules.flat_cosine import FlatCosine
from keras_lr.schedules.from_suggestion import from_suggestion
from keras_lr.schedules.inverse_sqrt import InverseSqrt
from keras_lr.schedules.one_cycle import OneCycle
from keras_lr.schedules.polynomial import Polynomial
from keras_lr.schedules.preview import preview
from keras_lr.schedules.scaled import Scaled
from keras_lr.schedules.sequential import Sequential
from keras_lr.schedules.warmup import Warmup
from keras_lr.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = [
    "CosineRestarts",
    "Cyclical",
    "FlatCosine",
    "InverseSqrt",
    "OneCycle",
    "Polynomial",
    "Scaled",
    "SchedulePreview",
    "Sequential",
    "Warmup",
    "WarmupStableDecay",
    "from_suggestion",
    "preview",
]
