"""Reading a pipeline leaves its later order alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_lr._keras.tf_data import EpochReader, HeldEpochs, independent, python_functions, seeded_copy, stop


def order(dataset: tf.data.Dataset) -> list[int]:
    return [int(value) for value in dataset.as_numpy_iterator()]


def numbers() -> tf.data.Dataset:
    return tf.data.Dataset.range(20)


PIPELINES: dict[str, Any] = {
    "shuffle": lambda: numbers().shuffle(20, seed=3),
    "below other steps": lambda: numbers().shuffle(20, seed=3).map(lambda value: value).prefetch(2),
    "two": lambda: numbers().shuffle(20, seed=3).shuffle(5, seed=4),
    "zipped": lambda: tf.data.Dataset.zip(numbers(), numbers().shuffle(20, seed=3)).map(lambda one, two: two),
    "python function": lambda: (
        numbers().map(lambda value: tf.py_function(lambda one: one, [value], tf.int64)).shuffle(20, seed=3)
    ),
    "generator": lambda: tf.data.Dataset.from_generator(
        lambda: iter(range(20)), output_signature=tf.TensorSpec((), tf.int64)
    ).shuffle(20, seed=3),
    "captured": lambda: (lambda inner: tf.data.Dataset.range(1).flat_map(lambda _: inner))(
        numbers().shuffle(20, seed=3)
    ),
}


def drawn(value: Any) -> Any:
    return np.int64(np.random.randint(10**6))


def drawn_numbers() -> tf.data.Dataset:
    return numbers().map(lambda value: tf.numpy_function(drawn, [value], tf.int64))


DRAWING: dict[str, Any] = {
    "random": lambda path: tf.data.Dataset.random(seed=3, rerandomize_each_iteration=True).take(20),
    "sampled": lambda path: tf.data.Dataset.sample_from_datasets(
        [numbers(), numbers()], seed=3, rerandomize_each_iteration=True
    ),
    "cache of draws": lambda path: drawn_numbers().cache(),
    "cache of draws by an operation": lambda path: (
        numbers().map(lambda _: tf.random.uniform((), 0, 99, tf.int64)).cache()
    ),
    "cache of a shuffle": lambda path: numbers().shuffle(20, seed=3).cache(),
    "cache in files": lambda path: numbers().cache(path),
    "cache of draws in files": lambda path: drawn_numbers().cache(path),
}


@pytest.mark.parametrize("name", DRAWING)
def test_reading_the_copy_fills_no_cache_and_moves_no_generator(name: str, tmp_path: Any) -> None:
    def passes(folder: str, *, reading: bool) -> list[list[int]]:
        (tmp_path / folder).mkdir()
        dataset = DRAWING[name](str(tmp_path / folder / "cache"))
        if reading:
            np.random.seed(1)
            copy = independent(dataset)
            order(copy.repeat(2))
            assert not list((tmp_path / folder).iterdir())
        np.random.seed(2)
        return [order(dataset), order(dataset)]

    tf.random.set_seed(4)
    plain = passes("plain", reading=False)
    tf.random.set_seed(4)
    assert passes("read", reading=True) == plain


def test_a_whole_cache_in_files_is_read(tmp_path: Any) -> None:
    dataset = drawn_numbers().cache(str(tmp_path / "cache"))
    first = order(dataset)
    assert order(independent(dataset)) == first


def test_python_functions_are_found_at_any_depth() -> None:
    inner = drawn_numbers()
    nested = tf.data.Dataset.range(2).flat_map(lambda _: drawn_numbers()).shuffle(3).batch(2)
    zipped = tf.data.Dataset.zip(inner, tf.data.Dataset.from_generator(lambda: iter([1]), output_types=tf.int64))
    assert [len(list(python_functions(one))) for one in (numbers(), inner, nested)] == [0, 1, 1]
    assert len(list(python_functions(zipped))) >= 2


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: one.prefetch(4), lambda one: one.repeat().prefetch(4)])
@pytest.mark.parametrize("parallel", [None, 3])
@pytest.mark.parametrize("held", [False, True])
def test_no_thread_draws_after_an_iterator_is_stopped(wrap: Any, parallel: int | None, held: bool) -> None:
    dataset = wrap(
        tf.data.Dataset.range(500).map(
            lambda value: tf.numpy_function(drawn, [value], tf.int64), num_parallel_calls=parallel
        )
    )
    iterator = iter(dataset)
    next(iterator)
    kept = iterator._iterator_resource if held else None
    stop(iterator, dataset)
    state = np.random.get_state()[2]
    time.sleep(0.05)
    assert np.random.get_state()[2] == state
    with pytest.raises((StopIteration, ValueError)):
        next(iterator)
    assert iterator._iterator_resource is kept


@pytest.mark.parametrize("name", PIPELINES)
def test_reading_the_copy_changes_no_later_pass(name: str) -> None:
    untouched, read = PIPELINES[name](), PIPELINES[name]()
    copy = independent(read)
    passes = [order(copy), order(copy)]
    assert passes[0] != passes[1]
    assert [sorted(once) for once in passes] == [list(range(20))] * 2
    assert [order(read), order(read)] == [order(untouched), order(untouched)]


@pytest.mark.parametrize(
    "dataset",
    [
        numbers(),
        numbers().shuffle(20, seed=3, reshuffle_each_iteration=False),
        numbers().batch(4).repeat(),
        numbers().map(lambda value: value * 2).cache(),
    ],
    ids=["plain", "one order", "batches", "cache of constant data"],
)
def test_a_pipeline_without_such_a_state_is_read_itself(dataset: Any) -> None:
    assert independent(dataset) is dataset


def test_a_copy_for_a_run_caches_what_its_own_seed_draws(tmp_path: Any) -> None:
    for cache in ("", str(tmp_path / "cache")):
        dataset, drawn = numbers().shuffle(20, seed=3).cache(cache), numbers().shuffle(20, seed=3)
        for seed in (1, 2):
            copied = seeded_copy(dataset, seed)
            assert order(copied) == order(copied) == order(seeded_copy(drawn, seed))
        assert order(seeded_copy(drawn, 1)) != order(seeded_copy(drawn, 2))


def test_copies_for_runs_draw_the_same_from_their_first_pass_on() -> None:
    drawn = tf.data.Dataset.random(seed=3, rerandomize_each_iteration=True).take(5)
    order(drawn)
    first, second = seeded_copy(drawn, 1), seeded_copy(drawn, 1)
    passes = [order(first), order(first)]
    assert passes[0] != passes[1]
    assert [order(second), order(second)] == passes


def test_shuffles_of_a_copy_agree_only_where_they_share_a_seed() -> None:
    def differing(*seeds: int | None) -> int:
        pairs = tf.data.Dataset.zip(*(numbers().shuffle(20, seed=seed) for seed in seeds))
        return sum(int(one) != int(other) for one, other in seeded_copy(pairs, 1))

    assert differing(None, None) > 0
    assert differing(3, 4) > 0
    assert differing(3, 3) == 0


SHAPED: dict[str, Any] = {
    "last batch": lambda: numbers().shuffle(20, seed=3).batch(8),
    "dict": lambda: numbers().shuffle(20, seed=3).map(lambda one: {"b": one, "a": (one + 1, [one, one])}).batch(5),
    "of unknown length": lambda: numbers().shuffle(20, seed=3).filter(lambda one: one % 3 > 0).batch(4),
    "ranks": lambda: numbers().map(lambda one: tf.reshape(one, tf.ones([1 + one // 10], tf.int32))),
}


@pytest.mark.parametrize("name", SHAPED)
def test_epochs_in_memory_yield_what_the_pipeline_yields(name: str) -> None:
    pipeline = SHAPED[name]()
    expected = [[*pipeline.as_numpy_iterator()]]
    if pipeline.cardinality() >= 0:
        iter(pipeline)  # As `fit` does.
    expected.append([*pipeline.as_numpy_iterator()])
    held = HeldEpochs(EpochReader(SHAPED[name](), 1), 10**6)
    for _ in range(2):
        reader = held.reader()
        for number, elements in enumerate(expected):
            reader.begin(number)
            tf.nest.map_structure(np.testing.assert_array_equal, [*reader.dataset.as_numpy_iterator()], elements)
            assert reader.dataset.element_spec == pipeline.element_spec
            reader.end(len(elements))


@pytest.mark.parametrize(
    "pipeline",
    [
        numbers().batch(5).map(tf.as_string),
        numbers().map(tf.range).ragged_batch(5),
        numbers().map(tf.range),
        numbers().batch(20).map(lambda one: tf.zeros([1000])),
        numbers().repeat().filter(lambda _: True),
        numbers().take(0),
    ],
    ids=["text", "ragged", "many shapes", "too large", "endless", "nothing"],
)
def test_batches_that_cannot_be_held_are_refused(pipeline: Any) -> None:
    with pytest.raises(ValueError, match=r"numbers|large|batches"):
        HeldEpochs(EpochReader(pipeline, 1), 999)
