"""Default arguments of a range test, shared by `find_lr`, `LRRangeTest`, `AutoLR` and `keras-lr find`.

They stand apart from the test itself because the command line shows them in its help before it loads Keras.
"""

from __future__ import annotations

from typing import Literal

MIN_LR = 1e-7
MAX_LR = 10.0
NUM_STEPS = 100
SWEEP: Literal["exponential", "linear"] = "exponential"
REPEATS = 1
