"""Choose, schedule, diagnose and explain the learning rate of a Keras model.

Importing this module is fast: each public name loads what it needs when it is first used.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from keras_lr._utils import keras_import as _keras_import
from keras_lr._utils import names as _names

if TYPE_CHECKING:
    from keras_lr import analysis as analysis
    from keras_lr import callbacks as callbacks
    from keras_lr import devices as devices
    from keras_lr import errors as errors
    from keras_lr import integrations as integrations
    from keras_lr import optimizers as optimizers
    from keras_lr import plots as plots
    from keras_lr import range_test as range_test
    from keras_lr import report as report
    from keras_lr import results as results
    from keras_lr import schedules as schedules
    from keras_lr import search as search
    from keras_lr.analysis import analyze_histories as analyze_histories
    from keras_lr.analysis import analyze_history as analyze_history
    from keras_lr.analysis import suggest as suggest
    from keras_lr.callbacks import AutoLR as AutoLR
    from keras_lr.callbacks import HistoryMonitor as HistoryMonitor
    from keras_lr.callbacks import LRRecorder as LRRecorder
    from keras_lr.callbacks import MomentumCycle as MomentumCycle
    from keras_lr.callbacks import ReduceOnPlateau as ReduceOnPlateau
    from keras_lr.callbacks import ReportCallback as ReportCallback
    from keras_lr.optimizers import discriminative as discriminative
    from keras_lr.range_test import LRRangeTest as LRRangeTest
    from keras_lr.range_test import find_lr as find_lr
    from keras_lr.report import Report as Report
    from keras_lr.results import AutoLRLog as AutoLRLog
    from keras_lr.results import Diagnosis as Diagnosis
    from keras_lr.results import Finding as Finding
    from keras_lr.results import HistoryComparison as HistoryComparison
    from keras_lr.results import RangeTestResult as RangeTestResult
    from keras_lr.results import SchedulePreview as SchedulePreview
    from keras_lr.results import SensitivityResult as SensitivityResult
    from keras_lr.results import Suggestion as Suggestion
    from keras_lr.search import LogGridSearch as LogGridSearch
    from keras_lr.search import RaceSearch as RaceSearch

__version__ = "0.1.0"

# The module that defines each name.
_HOMES = {
    "AutoLR": "keras_lr.callbacks",
    "AutoLRLog": "keras_lr.results",
    "Diagnosis": "keras_lr.results",
    "Finding": "keras_lr.results",
    "HistoryComparison": "keras_lr.results",
    "HistoryMonitor": "keras_lr.callbacks",
    "LRRangeTest": "keras_lr.range_test",
    "LRRecorder": "keras_lr.callbacks",
    "MomentumCycle": "keras_lr.callbacks",
    "LogGridSearch": "keras_lr.search",
    "RaceSearch": "keras_lr.search",
    "RangeTestResult": "keras_lr.results",
    "ReduceOnPlateau": "keras_lr.callbacks",
    "Report": "keras_lr.report",
    "ReportCallback": "keras_lr.callbacks",
    "SchedulePreview": "keras_lr.results",
    "SensitivityResult": "keras_lr.results",
    "Suggestion": "keras_lr.results",
    "analyze_histories": "keras_lr.analysis",
    "analyze_history": "keras_lr.analysis",
    "discriminative": "keras_lr.optimizers",
    "find_lr": "keras_lr.range_test",
    "suggest": "keras_lr.analysis",
}
_MODULES = (
    "analysis",
    "callbacks",
    "devices",
    "errors",
    "integrations",
    "optimizers",
    "plots",
    "range_test",
    "report",
    "results",
    "schedules",
    "search",
)
# Public names that only the modules have, for the error of those who look for them here.
_ELSEWHERE = {
    "analysis": ("Race", "analyze_sensitivity"),
    "devices": ("inspect_devices", "set_up_devices"),
    "plots": (
        "plot_auto_lr",
        "plot_heatmap",
        "plot_histories",
        "plot_history",
        "plot_learning_curves",
        "plot_range_test",
        "plot_schedule",
        "plot_sensitivity",
        "plot_slope",
    ),
    "integrations": ("to_mlflow", "to_optuna", "to_tensorboard", "to_wandb"),
    "optimizers": ("scale_learning_rate",),
    "results": ("AutoLRAction", "Refinement"),
    "schedules": (
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
    ),
}

__all__ = sorted([*_HOMES, *_MODULES, "__version__"])

if not TYPE_CHECKING:
    # A type checker would take any name for one that this function returns.

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        elif name in _MODULES:
            value = importlib.import_module(f"keras_lr.{name}")
        else:
            raise _names.missing_attribute(f"module {__name__!r}", name, _meant(name))
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__


def _meant(name: str) -> str | None:
    """The public name that `name` is most like, with its module if it is not in this one."""
    if name.startswith("_"):
        return None
    places = {inner: f"{__name__}.{module}.{inner}" for module, names in _ELSEWHERE.items() for inner in names}
    known = _names.foreign_name(name, __name__) or _names.similar_name(name, [*places, *_MODULES, *_HOMES])
    return places.get(known, known) if known else None


def _register_schedules() -> None:
    """Registers the schedules with Keras, so that a model saved with one can be loaded."""
    from keras_lr.errors import BackendError

    try:
        import keras_lr.schedules  # noqa: F401
    except BackendError:
        # Said as soon as something that needs TensorFlow is used.
        pass
    except Exception as err:
        # It must not end the import of Keras, in which it may have been called.
        warnings.warn(
            f"keras_lr cannot register its schedules with Keras, so a saved model with one will not load: {err}",
            stacklevel=2,
        )


_keras_import.after_keras(_register_schedules)
