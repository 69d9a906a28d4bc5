"""Functions that read a learning rate off measurements: a range test's curve, training histories, a search.

They need NumPy, SciPy and pandas, but not Keras.
"""

from typing import TYPE_CHECKING

from keras_lr._utils import names as _names

__all__ = ["Race", "analyze_histories", "analyze_history", "analyze_sensitivity", "suggest"]

if TYPE_CHECKING:
    from keras_lr.analysis._diagnosis.compare import analyze_histories
    from keras_lr.analysis._diagnosis.diagnose import analyze_history
    from keras_lr.analysis._race import Race
    from keras_lr.analysis._sensitivity import analyze_sensitivity
    from keras_lr.analysis._suggestion.suggest import suggest
else:
    _HOMES = {
        "Race": "keras_lr.analysis._race",
        "analyze_histories": "keras_lr.analysis._diagnosis.compare",
        "analyze_history": "keras_lr.analysis._diagnosis.diagnose",
        "analyze_sensitivity": "keras_lr.analysis._sensitivity",
        "suggest": "keras_lr.analysis._suggestion.suggest",
    }
    __getattr__, __dir__ = _names.lazy_names(__name__, _HOMES)
