"""The warning about inputs on an unusual scale."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from keras_lr.range_test._input_scale import input_scale_warning, scale_finding

WINE = load_wine().data.astype("float32")
DIGITS = load_digits().data.astype("float32")


def dense(*first):
    return keras.Sequential([*first, keras.layers.Dense(4), keras.layers.Dense(2)])


def warnings_of(model, x):
    message = input_scale_warning(model, x)
    return [] if message is None else [message]


@pytest.mark.parametrize("values", [WINE, load_breast_cancer().data, DIGITS, DIGITS.reshape(-1, 8, 8) * 16])
def test_raw_features_and_pixels_are_large(values):
    assert scale_finding(values).startswith("reach")


def test_scikit_learns_shrunken_diabetes_is_small():
    assert "of zero" in scale_finding(load_diabetes().data)


@pytest.mark.parametrize(
    "values",
    [
        DIGITS / 16,
        DIGITS / 8 - 1,
        StandardScaler().fit_transform(WINE),
        np.eye(1000, dtype="float32")[:64],
        np.random.default_rng(0).normal(size=(32, 24, 3)),
        np.zeros((8, 4)),
        np.full((8, 4), np.nan),
        np.array([["a"], ["b"]]),
        np.empty((0, 4)),
    ],
)
def test_unit_scale_sparse_and_unreadable_inputs_pass(values):
    assert scale_finding(values) is None


def test_one_large_feature_among_small_ones_is_found():
    values = np.random.default_rng(0).normal(size=(64, 200))
    values[:, 7] *= 100
    assert scale_finding(values).startswith("reach")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        pd.DataFrame,
        lambda x: [x / 100, x],
        lambda x: tf.data.Dataset.from_tensor_slices((x, np.zeros(len(x)))).batch(32),
        tf.constant,
    ],
)
def test_every_kind_of_data_is_read(wrap):
    assert len(warnings_of(dense(), wrap(WINE))) == 1


def test_a_dataset_is_read_once():
    reads = []

    def batches():
        reads.append(1)
        yield WINE[:32], np.zeros(32)

    signature = (tf.TensorSpec((None, 13)), tf.TensorSpec((None,)))
    x = tf.data.Dataset.from_generator(batches, output_signature=signature)
    assert [len(warnings_of(dense(), x)) for _ in range(2)] == [1, 0]
    assert len(reads) == 1


def test_the_input_of_a_dict_is_named():
    (message,) = warnings_of(dense(), {"good": WINE / 1e4 + 0.5, "raw": WINE})
    assert "'raw'" in message


def test_py_dataset_is_read_and_generator_is_left_alone():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return WINE[:32] + np.random.rand(), np.zeros(32)

    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    assert len(warnings_of(dense(), Batches())) == 1
    assert np.random.rand() == expected

    def generator():
        yield WINE[:32], np.zeros(32)

    source = generator()
    assert warnings_of(dense(), source) == []
    assert len(list(source)) == 1


def test_reading_a_seeded_shuffle_leaves_its_order():
    def batches():
        return tf.data.Dataset.range(64).map(lambda i: (tf.cast(i, tf.float32)[None], i)).shuffle(64, seed=3).batch(8)

    untouched, read = batches(), batches()
    warnings_of(dense(), read)
    first = [y.numpy().tolist() for _, y in untouched]
    assert [y.numpy().tolist() for _, y in read] == first


@pytest.mark.parametrize(
    "layer", [keras.layers.Rescaling(1 / 255), keras.layers.Normalization(), keras.layers.BatchNormalization()]
)
def test_a_model_that_rescales_its_inputs_is_not_warned(layer):
    model = dense(layer)
    model.build((None, 13))
    assert warnings_of(model, WINE) == []


def test_normalisation_after_the_first_weights_does_not_count():
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(2)])
    model.build((None, 13))
    assert len(warnings_of(model, WINE)) == 1


def test_tokens_pass_where_they_are_looked_up_and_bytes_do_not():
    tokens = np.random.default_rng(0).integers(0, 500, (64, 12))
    embedding = keras.Sequential([keras.layers.Embedding(500, 4), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert warnings_of(embedding, tokens) == []
    assert len(warnings_of(dense(), tokens.astype("uint8"))) == 1
