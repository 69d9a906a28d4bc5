"""Results as one self-contained HTML page: records become plain dicts, which the templates lay out."""

from keras_lr.report._report import Report

__all__ = ["Report"]
