"""Plots of results with seaborn: each takes a result and matplotlib Axes, and returns the Axes."""

from typing import TYPE_CHECKING

from keras_lr._utils import names as _names
from keras_lr.plots._history import plot_histories, plot_history, plot_learning_curves
from keras_lr.plots._range_test import plot_range_test, plot_slope
from keras_lr.plots._rate_curves import plot_auto_lr, plot_schedule
from keras_lr.plots._sensitivity import plot_heatmap, plot_sensitivity

__all__ = [
    "plot_auto_lr",
    "plot_heatmap",
    "plot_histories",
    "plot_history",
    "plot_learning_curves",
    "plot_range_test",
    "plot_schedule",
    "plot_sensitivity",
    "plot_slope",
]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
