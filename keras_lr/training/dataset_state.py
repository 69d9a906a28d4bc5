"""The variables that a `tf.data` pipeline changes as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def pipeline_variables(dataset: tf.data.Dataset) -> Iterator[Any]:
    """Each variable that a function of the pipeline uses, such as the seed state of an augmenting layer in a `map`.

    A function keeps the memory of a variable alive, not the variable; one that is gone is left out.
    """
    for function in dataset._functions():
        references = function.function.graph._weak_variables
        yield from (variable for reference in references if (variable := reference()) is not None)
    for part in dataset._inputs():
        yield from pipeline_variables(part)
