"""Batches that a sweep takes from a one-shot Python generator, kept for the training that follows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter


class GeneratorTape:
    """Records what is drawn from a generator, and plays it again.

    Args:
        adapter: Keras's adapter of the generator; its `generator` is replaced by a recording one.
    """

    def __init__(self, adapter: GeneratorDataAdapter) -> None:
        self._adapter = adapter
        self._source = adapter.generator
        self._peeked = len(adapter._first_batches)
        self._taken: list[Any] = []
        adapter.generator = self._recording

    def rewind(self) -> None:
        """Lets the training that follows see the recorded batches first."""
        self._adapter.generator = lambda: itertools.chain(
            self._taken, itertools.islice(self._source(), self._peeked, None)
        )

    def _recording(self) -> Iterator[Any]:
        for batch in self._source():
            self._taken.append(batch)
            yield batch
