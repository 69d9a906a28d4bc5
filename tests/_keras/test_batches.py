"""Batches that are cut inside the loop have the rows of `fit`, and a replayed generator yields what it would have."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter

from keras_lr._keras.batches import ArrayStream, share_generator

ROWS = np.arange(10.0)[:, np.newaxis]


def read(stream: ArrayStream, steps: int) -> list[list[int]]:
    source = stream.source(steps)
    return [np.asarray(source.get_next(step)[0])[:, 0].astype(int).tolist() for step in range(steps)]


def stream_of(x: Any, **options: Any) -> ArrayStream:
    return ArrayStream(ArrayDataAdapter(x, x, **{"batch_size": 4, "shuffle": False} | options))


def test_unshuffled_batches_go_round_with_a_short_last_one() -> None:
    stream = stream_of(ROWS)
    expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert read(stream, 5) == expected
    assert read(stream, 1) == [[8, 9]]


def test_each_pass_has_every_row_once_in_a_new_order() -> None:
    np.random.seed(0)
    batches = read(stream_of(ROWS, shuffle=True), 6)
    passes = [[*itertools.chain(*batches[:3])], [*itertools.chain(*batches[3:])]]
    assert [sorted(rows) for rows in passes] == [list(range(10))] * 2
    assert passes[0] != passes[1]
    assert [len(batch) for batch in batches] == [4, 4, 2] * 2
    np.random.seed(0)
    assert read(stream_of(ROWS, shuffle=True), 6) == batches


def test_batch_shuffling_stays_within_the_batch() -> None:
    np.random.seed(1)
    batches = read(stream_of(ROWS, shuffle="batch"), 3)
    assert [sorted(batch) for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches != [sorted(batch) for batch in batches]


def test_structures_dtypes_and_weights_are_those_of_fit() -> None:
    inputs = {"a": ROWS, "b": [np.arange(10), pd.DataFrame({"c": range(10), "d": range(10)})]}
    adapter = ArrayDataAdapter(inputs, pd.Series(range(10)), class_weight=dict.fromkeys(range(10), 0.5), batch_size=4)
    ours = ArrayStream(adapter).source(1).get_next(0)
    theirs = next(iter(adapter.get_tf_dataset()))
    keras.tree.assert_same_structure(ours, theirs)
    for one, other in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("x", "served"),
    [
        (ROWS, True),
        (pd.DataFrame({"a": range(10)}), True),
        (np.lib.stride_tricks.as_strided(ROWS, (1000, 100_000), (0, 0)), False),
        (np.lib.stride_tricks.as_strided(ROWS, (10_000_000, 10), (0, 0)), True),
        (scipy.sparse.eye(10, format="csr"), False),
        (keras.ops.ones((10, 1)), False),
        (np.array(["a", "b"], dtype=object), False),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), False),
        (ROWS[:0], False),
    ],
    ids=["array", "frame", "large rows", "many rows", "sparse", "tensor", "text", "nullable", "empty"],
)
def test_only_small_plain_arrays_are_served(x: Any, served: bool) -> None:
    adapter = ArrayDataAdapter(x, batch_size=32)
    assert ArrayStream.serves(adapter, 100) is served


@pytest.mark.parametrize("part", ["_inputs", "_num_samples", "_batch_size", "_shuffle"])
def test_an_adapter_that_lacks_a_private_part_is_declined(part: str) -> None:
    adapter = ArrayDataAdapter(ROWS)
    assert ArrayStream.serves(adapter, 100)
    delattr(adapter, part)
    assert not ArrayStream.serves(adapter, 100)


def numbered(count: int) -> GeneratorDataAdapter:
    return GeneratorDataAdapter((np.full((1, 1), number),) for number in range(count))


def numbers_of(batches: Any) -> list[int]:
    return [int(x[0, 0]) for (x,) in batches]


@pytest.mark.parametrize("taken", range(6))
def test_a_generator_that_is_handed_back_yields_every_batch_once(taken: int) -> None:
    adapter = numbered(5)
    rest = share_generator(adapter)
    assert numbers_of(itertools.islice(adapter.generator(), taken)) == list(range(5))[:taken]
    rest.hand_back()
    assert numbers_of(adapter.generator()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("taken", [0, 1, 3, 9])
def test_a_generator_that_is_handed_back_has_the_later_epochs_of_keras(taken: int) -> None:
    adapter, plain = numbered(9), numbered(9)
    rest = share_generator(adapter)
    numbers_of(itertools.islice(adapter.generator(), taken))
    rest.hand_back()
    for steps in (5, 4, None, None):
        batches = numbers_of(itertools.islice(adapter.generator(), steps))
        assert batches == numbers_of(itertools.islice(plain.generator(), steps))
