"""Records drawn on matplotlib Axes, by seaborn: a record in, axes in and out."""

from keras_lr.plots.range_test import plot_range_test
from keras_lr.plots.slope import plot_slope

__all__ = ["plot_range_test", "plot_slope"]
