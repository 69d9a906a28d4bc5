"""Results as one self-contained HTML page: records become plain dicts, which the templates lay out."""

from typing import TYPE_CHECKING

from keras_lr._utils import names as _names
from keras_lr.report._report import Report

__all__ = ["Report"]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
