"""Records drawn on matplotlib Axes, by seaborn: a record in, axes in and out."""

from keras_lr.plots.auto_lr import plot_auto_lr
from keras_lr.plots.heatmap import plot_heatmap
from keras_lr.plots.history import plot_histories, plot_history
from keras_lr.plots.learning_curves import plot_learning_curves
from keras_lr.plots.range_test import plot_range_test
from keras_lr.plots.schedule import plot_schedule
from keras_lr.plots.sensitivity import plot_sensitivity
from keras_lr.plots.slope import plot_slope

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
