"""Results shown to a person: record -> plain dict -> one HTML page."""

from keras_lr.report.report import Report

__all__ = ["Report"]
