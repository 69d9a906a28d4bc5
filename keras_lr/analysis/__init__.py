"""Functions that read a learning rate off measurements: a range test's curve, training histories, a search.

They need NumPy, SciPy and pandas, but not Keras.
"""

from typing import TYPE_CHECKING

from keras_lr._utils import names as _names
from keras_lr.analysis._diagnosis.compare import analyze_histories
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._race import Race
from keras_lr.analysis._sensitivity import analyze_sensitivity
from keras_lr.analysis._suggestion.suggest import suggest

__all__ = ["Race", "analyze_histories", "analyze_history", "analyze_sensitivity", "suggest"]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
