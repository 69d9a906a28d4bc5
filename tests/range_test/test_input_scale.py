"""The warning about inputs on an unusual scale."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

import keras_lr
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


def two_inputs():
    inputs = {name: keras.Input((13,), name=name) for name in ("good", "raw")}
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(list(inputs.values()))))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        pd.DataFrame,
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
    (message,) = warnings_of(two_inputs(), {"good": WINE / 1e4 + 0.5, "raw": WINE})
    assert "'raw'" in message


def test_one_of_several_inputs_is_found():
    assert len(warnings_of(two_inputs(), [WINE / 1e4 + 0.5, WINE])) == 1


def test_py_dataset_is_read_and_generator_is_left_alone():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return WINE[:32] + np.random.rand(), np.zeros(32)

    assert len(warnings_of(dense(), Batches())) == 1

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


LAYERS = keras.layers


def adapted():
    layer = LAYERS.Normalization()
    layer.adapt(WINE)
    return layer


class NormalizerLast(keras.Model):
    """Holds its layers in another order than it calls them."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential([LAYERS.Dense(4)])
        self.normalizer = adapted()

    def call(self, inputs):
        return self.network(self.normalizer(inputs))


class WithinALayer(LAYERS.Layer):
    """Rescales its inputs before its own weights meet them."""

    def __init__(self):
        super().__init__()
        self.dense = LAYERS.Dense(4)

    def call(self, inputs):
        return self.dense(keras.ops.tanh(inputs / 1000))


def constant(values):
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(values, dtype)


class OwnNormalization(LAYERS.Layer):
    """Normalises as `keras.layers.Normalization` does, by weights that are not trained or by ones that are."""

    def __init__(self, trained):
        super().__init__()
        self.trained = trained

    def build(self, shape):
        self.mean = self.add_weight(shape=(shape[-1],), trainable=False, initializer=constant(WINE.mean(axis=0)))
        self.scale = self.add_weight(
            shape=(shape[-1],), trainable=self.trained, initializer=constant(1 / WINE.std(axis=0))
        )

    def call(self, inputs):
        return (inputs - self.mean) * self.scale


class OwnLookup(LAYERS.Layer):
    """Looks every number up, as `keras.layers.Embedding` does."""

    def build(self, shape):
        self.table = self.add_weight(shape=(2000, 4))

    def call(self, inputs):
        return keras.ops.mean(keras.ops.take(self.table, keras.ops.cast(inputs, "int32"), axis=0), axis=1)


def frozen(layer):
    layer.trainable = False
    return layer


RESCALED = {
    "Rescaling": lambda: dense(LAYERS.Rescaling(1 / 2000)),
    "Normalization": lambda: dense(adapted()),
    "Normalization, not adapted yet": lambda: dense(LAYERS.Normalization()),
    "BatchNormalization": lambda: dense(LAYERS.BatchNormalization()),
    "LayerNormalization": lambda: dense(LAYERS.LayerNormalization()),
    "after another layer": lambda: dense(LAYERS.Dropout(0.5), LAYERS.Reshape((13, 1)), LAYERS.Flatten(), adapted()),
    "in a nested model": lambda: dense(keras.Sequential([keras.Sequential([adapted()])])),
    "held last": NormalizerLast,
    "in a model's call": lambda: dense(WithinALayer()),
    "by a function": lambda: dense(LAYERS.Lambda(lambda x: x / 2000)),
    "by a layer of one's own": lambda: dense(OwnNormalization(trained=False)),
    "by a layer of one's own that learns": lambda: dense(OwnNormalization(trained=True)),
    "looked up by a layer of one's own": lambda: dense(OwnLookup()),
    "after frozen weights": lambda: dense(frozen(LAYERS.Dense(4)), LAYERS.BatchNormalization()),
}


@pytest.mark.parametrize("name", RESCALED)
def test_a_model_that_rescales_its_inputs_is_not_warned(name):
    for build in (False, True):
        model = RESCALED[name]()
        if build:
            model(WINE[:2])
        assert warnings_of(model, WINE) == []


class OwnDense(LAYERS.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2))

    def call(self, inputs):
        return keras.ops.tanh(inputs @ self.kernel)


RAW = {
    "by a layer of one's own": lambda: keras.Sequential([OwnDense()]),
    "after the first weights": lambda: keras.Sequential(
        [LAYERS.Dense(4), LAYERS.BatchNormalization(), LAYERS.Dense(2)]
    ),
    "after a reshape": lambda: keras.Sequential([LAYERS.Reshape((13, 1)), LAYERS.Conv1D(2, 3), LAYERS.Flatten()]),
    "in a nested model": lambda: keras.Sequential([keras.Sequential([LAYERS.Dense(4)]), adapted_after(4)]),
    "recurrent": lambda: keras.Sequential([LAYERS.Reshape((13, 1)), LAYERS.LSTM(2)]),
    "cast": lambda: keras.Sequential([LAYERS.Lambda(lambda x: keras.ops.cast(x, "float16")), LAYERS.Dense(2)]),
}


def adapted_after(width):
    layer = LAYERS.Normalization()
    layer.adapt(np.zeros((2, width)))
    return layer


@pytest.mark.parametrize("name", RAW)
def test_inputs_that_meet_the_first_weights_raw_are_warned_of(name):
    assert len(warnings_of(RAW[name](), WINE)) == 1


def test_a_label_that_only_a_loss_layer_uses_is_not_an_input():
    class Endpoint(LAYERS.Layer):
        def call(self, label, predicted):
            self.add_loss(keras.ops.mean(keras.ops.square(label / 9 - predicted)))
            return predicted

    inputs = {"image": keras.Input((13,), name="image"), "label": keras.Input((1,), name="label")}
    model = keras.Model(inputs, Endpoint()(inputs["label"], LAYERS.Dense(1)(inputs["image"])))
    labels = np.arange(len(WINE), dtype="float32")[:, None]
    assert warnings_of(model, {"image": WINE / 2000, "label": labels}) == []
    assert "'image'" in warnings_of(model, {"image": WINE, "label": labels})[0]


def test_a_label_that_a_loss_layer_with_weights_compares_with_is_no_input():
    class Centres(LAYERS.Layer):
        def build(self, *shapes):
            self.centres = self.add_weight(shape=(200, 4))

        def call(self, features, label):
            own = keras.ops.take(self.centres, keras.ops.cast(label[:, 0], "int32"), axis=0)
            self.add_loss(keras.ops.mean((features - own) ** 2))
            return features

    image, label = keras.Input((13,)), keras.Input((1,))
    model = keras.Model([image, label], Centres()(LAYERS.Dense(4)(image), label))
    assert warnings_of(model, [WINE / 2000, np.arange(len(WINE), dtype="float32")[:, None]]) == []


def test_the_check_changes_nothing_in_the_model():
    model = dense(LAYERS.Dropout(0.5), LAYERS.BatchNormalization())
    model(WINE[:2])
    layers = [model, *model.layers]
    before = [dict(vars(layer)) for layer in layers], [variable.numpy() for variable in model.variables]
    warnings_of(model, WINE)
    assert [dict(vars(layer)).keys() for layer in layers] == [one.keys() for one in before[0]]
    assert all("call" not in vars(layer) for layer in layers)
    for variable, value in zip(model.variables, before[1], strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_find_lr_warns_at_the_line_of_its_caller():
    model = dense()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="The inputs reach") as caught:
        keras_lr.find_lr(model, WINE, np.zeros((len(WINE), 2)), num_steps=3)
    assert [one.filename for one in caught if "The inputs reach" in str(one.message)] == [__file__]


def test_tokens_pass_where_they_are_looked_up_and_bytes_do_not():
    tokens = np.random.default_rng(0).integers(0, 500, (64, 12))
    embedding = keras.Sequential([LAYERS.Embedding(500, 4), LAYERS.Flatten(), LAYERS.Dense(2)])
    assert warnings_of(embedding, tokens) == []
    assert len(warnings_of(dense(), tokens.astype("uint8"))) == 1


def test_numbers_beside_looked_up_ones_pass_if_they_are_scaled():
    rows = np.column_stack([np.arange(64), np.linspace(-1, 1, 64)]).astype("float32")
    inputs = keras.Input((2,))
    looked_up = LAYERS.Flatten()(LAYERS.Embedding(64, 4)(inputs[:, :1]))
    model = keras.Model(inputs, LAYERS.Dense(1)(LAYERS.Concatenate()([looked_up, inputs[:, 1:]])))
    assert warnings_of(model, rows) == []
    assert len(warnings_of(dense(), rows)) == 1
