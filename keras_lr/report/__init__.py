"""Results shown to a person: record -> plain dict -> one HTML page."""

from keras_lr.report._report import Report

__all__ = ["Report"]
