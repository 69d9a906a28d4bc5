"""The command line of a search as words again, for its report and its workers."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator

from keras_lr.cli.arguments import words_again
from keras_lr.errors import SearchError

_VALUES = ("validation_data", "min_lr", "max_lr", "points_per_decade", "repeats", "epochs", "objective", "seed")
_LISTS = ("learning_rates", "batch_sizes")
_FLAGS = ("no_extend", "refine", "pruning", "memory_growth", "deterministic")
_PLACES = ("directory", "project", "device", "precision", "strategy")


def search_words(options: argparse.Namespace) -> list[str]:
    """The words that give the same search, without workers and output files."""
    return words_again("search", options, (*_VALUES, *_PLACES), lists=_LISTS, flags=_FLAGS)


@contextlib.contextmanager
def workers_of(options: argparse.Namespace) -> Iterator[None]:
    """Makes this process the chief of `options.workers` workers for the block.

    Raises:
        SearchError: The block ended although a worker failed and the grid is not done.
    """
    from keras_lr.search.chief import attended_by
    from keras_lr.search.local_workers import LocalWorkers, free_port

    port, gpus = free_port(), _gpus()
    workers = LocalWorkers(
        [sys.executable, "-m", "keras_lr", *search_words(options)[1:]],
        count=options.workers,
        port=port,
        logs=options.directory / options.project / "logs",
        gpus=gpus,
    )
    with _chief(port, hides_gpus=bool(gpus)), workers, attended_by(workers):
        try:
            yield
        except SearchError as err:
            raise SearchError(f"{err} {workers.failures()}".strip()) from err
        if failures := workers.failures():
            print(f"keras-lr: the other workers finished the grid, but {failures}", file=sys.stderr)


@contextlib.contextmanager
def _chief(port: int, *, hides_gpus: bool) -> Iterator[None]:
    """Makes this process a chief for the block; it trains nothing and must not take a worker's GPU."""
    import tensorflow as tf

    from keras_lr.search.local_workers import chief_address

    if hides_gpus:
        tf.config.set_visible_devices([], "GPU")
    added = {**chief_address(port), "KERASTUNER_TUNER_ID": "chief"}
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _gpus() -> list[str]:
    """The GPUs that this process may use, by the names CUDA has for them."""
    import tensorflow as tf

    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return [name for name in shown.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(len(tf.config.list_physical_devices("GPU")))]
