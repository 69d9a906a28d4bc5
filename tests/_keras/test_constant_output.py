"""The loss of the best constant output against its closed forms."""

import keras
import numpy as np
import pytest

from keras_lr._keras.constant_output import baseline_loss_of, constant_loss_of, constant_output_loss

GENERATOR = np.random.default_rng(0)
TWO = {name: np.random.default_rng(1).normal(1.0, scale, (60, 1)) for name, scale in (("a", 1.0), ("b", 3.0))}
LABELS = GENERATOR.choice(3, 60, p=[0.6, 0.3, 0.1])


@pytest.mark.parametrize(("loss", "convert"), [("mse", np.var), ("mae", lambda y: np.abs(y - np.median(y)).mean())])
def test_a_regression_has_its_closed_form(loss, convert):
    targets = GENERATOR.gamma(2.0, 30.0, 61).astype("float32")
    assert constant_output_loss(loss, targets) == pytest.approx(convert(targets), rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("sparse_categorical_crossentropy", LABELS),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS),
        ("categorical_crossentropy", np.eye(3)[LABELS]),
        (keras.losses.CategoricalCrossentropy(from_logits=True), np.eye(3)[LABELS].reshape(15, 4, 3)),
        ("categorical_crossentropy", np.eye(3)[LABELS].reshape(5, 3, 4, 3)),
    ],
)
def test_a_cross_entropy_of_classes_costs_the_entropy_of_their_frequencies(loss, targets):
    part = np.bincount(LABELS) / LABELS.size
    assert constant_output_loss(loss, targets) == pytest.approx(-np.sum(part * np.log(part)), rel=1e-4)


def test_a_binary_cross_entropy_costs_the_entropy_of_its_labels():
    labels = np.repeat([1, 0], [15, 45])
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert constant_output_loss("binary_crossentropy", labels) == pytest.approx(expected, rel=1e-4)
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    assert constant_output_loss(logits, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (lambda y, output: output, np.ones(4)),
        (keras.losses.CategoricalHinge(), np.eye(3)[LABELS]),
        (keras.losses.MeanSquaredError(reduction="sum"), np.arange(4.0)),
        (keras.losses.CosineSimilarity(axis=1), np.eye(3)[LABELS].reshape(20, 3, 3)),
        ("mse", np.array([1.0, np.nan])),
        ("mse", np.array(["a", "b"])),
        ("mse", []),
        (keras.losses.CategoricalCrossentropy(axis=1), np.eye(3)[LABELS].reshape(20, 3, 3)),
        (keras.losses.SparseCategoricalCrossentropy(ignore_class=0), LABELS),
    ],
)
def test_what_is_not_known_is_none(loss, targets):
    assert constant_output_loss(loss, targets) is None


@pytest.mark.parametrize(
    "loss",
    [keras.losses.Huber(delta=7.0), keras.losses.Huber(), "log_cosh", "msle", "mape", "poisson"],
    ids=["huber of 7", "huber", "log-cosh", "msle", "mape", "poisson"],
)
def test_other_losses_have_the_lowest_value_on_a_fine_grid_of_constants(loss):
    targets = GENERATOR.gamma(2.0, 30.0, 61).astype("float32")
    per_sample = getattr(loss, "call", None) or keras.losses.get(loss)
    constants = np.linspace(0, targets.max(), 4001, dtype="float32")
    outputs = np.broadcast_to(constants[:, np.newaxis, np.newaxis], (4001, 61, 1))
    values = np.mean(per_sample(np.broadcast_to(targets[:, np.newaxis], outputs.shape), outputs), axis=1)
    assert constant_output_loss(loss, targets) == pytest.approx(values.min(), rel=1e-3)


@pytest.mark.parametrize("convert", [float, keras.Variable, lambda weight: [weight]], ids=["float", "variable", "list"])
@pytest.mark.parametrize("named", [True, False], ids=["by name", "as lists"])
def test_several_outputs_cost_the_weighted_sum_of_theirs(named, convert):
    inputs = keras.Input((2,))
    outputs = {"a": keras.layers.Dense(1, name="a")(inputs), "b": keras.layers.Dense(3, name="b")(inputs)}
    losses = {"a": "mse", "b": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    weights, targets = {"a": convert(0.5), "b": convert(2.0)}, {"a": GENERATOR.normal(size=60), "b": LABELS}
    if not named:
        outputs, losses, weights, targets = (list(part.values()) for part in (outputs, losses, weights, targets))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", losses, loss_weights=weights)
    first, second = targets.values() if named else targets
    part = np.bincount(second) / second.size
    expected = 0.5 * np.var(first) - 2.0 * np.sum(part * np.log(part))
    found = constant_loss_of(model, targets)
    assert isinstance(found, float)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("losses", "options"),
    [
        ("mse", {}),
        ({"a": "mse"}, {}),
        ({"a": None, "b": "mse"}, {"loss_weights": {"a": 0.5, "b": 3.0}}),
    ],
    ids=["one for all", "one output", "none for one"],
)
@pytest.mark.parametrize("named", [True, False], ids=["by name", "as lists"])
def test_outputs_without_a_loss_of_their_own_cost_what_evaluate_gives(losses, options, named):
    """The constants are biases without inputs."""
    inputs = keras.Input((1,))
    heads = {name: keras.layers.Dense(1, name=name, kernel_initializer="zeros") for name in "ab"}
    outputs, targets = {name: head(inputs) for name, head in heads.items()}, TWO
    if not named:
        outputs, targets = list(outputs.values()), list(targets.values())
        losses = [losses.get(name) for name in "ab"] if isinstance(losses, dict) else losses
        options = {name: list(weights.values()) for name, weights in options.items()}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", losses, **options)
    for name, head in heads.items():
        head.bias.assign([TWO[name].mean()])
    expected = model.evaluate(np.zeros((60, 1)), targets, verbose=0, return_dict=True)["loss"]
    assert constant_loss_of(model, targets) == pytest.approx(expected, rel=1e-4)


def test_directions_cost_the_length_of_their_mean():
    targets = GENERATOR.normal(1.0, 1.0, (60, 3))
    mean = (targets / np.linalg.norm(targets, axis=1, keepdims=True)).mean(axis=0)
    assert constant_output_loss("cosine_similarity", targets) == pytest.approx(-np.linalg.norm(mean), rel=1e-4)


def test_distributions_cost_their_divergence_from_the_mean_one():
    targets = GENERATOR.dirichlet([1.0, 2.0, 3.0], 60)
    expected = np.sum(targets * np.log(targets / targets.mean(axis=0)), axis=1).mean()
    assert constant_output_loss("kl_divergence", targets) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("targets", [np.repeat([1, 0], [15, 45]), np.repeat([1, -1], [15, 45])])
def test_a_hinge_costs_its_rarer_sign(targets):
    assert constant_output_loss("hinge", targets) == pytest.approx(2 * 0.25, rel=1e-4)
    assert constant_output_loss("squared_hinge", targets) == pytest.approx(1 - 0.5**2, rel=1e-4)


def test_sample_weights_count_as_in_evaluate():
    """The constant is a bias without inputs, trained to the lowest loss that `evaluate` gives."""
    targets, weights = np.array([0.0, 1.0, 2.0, 10.0]), np.array([3.0, 1.0, 1.0, 0.5])
    mean = np.average(targets, weights=weights)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight"):
        model.compile("sgd", keras.losses.MeanSquaredError(reduction=reduction))
        model.set_weights([np.zeros((1, 1)), np.array([mean])])
        expected = model.evaluate(np.zeros((4, 1)), targets, sample_weight=weights, verbose=0)
        assert constant_loss_of(model, targets, weights) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0, 2.0, -1.0, 1.0], np.zeros(4), np.ones((4, 2)), ["a"] * 4])
def test_weights_that_are_not_one_per_sample_leave_the_constant_unknown(weights):
    assert constant_output_loss("mse", np.arange(4.0), weights) is None


def test_regularizers_cost_the_best_constant_output_nothing_and_hide_learning_if_they_cost_much():
    """A bias alone gives every constant, so the weights that a regularizer is for may be 0."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.1))])
    model.compile("sgd", "mse")
    targets = np.arange(4.0)
    for kernel, hides in ((0.1, False), (1.0, True)):
        model.set_weights([np.full((2, 1), kernel), np.array([1.5])])
        assert constant_loss_of(model, targets) == pytest.approx(np.var(targets), rel=1e-4)
        assert (baseline_loss_of(model, targets) is None) == hides


def own_step(base):
    return {"train_step": lambda self, data: {"loss": 10 * base.train_step(self, data)["loss"]}}


def own_loss(base):
    return {"compute_loss": lambda self, *args, **kwargs: 10 * base.compute_loss(self, *args, **kwargs)}


@pytest.mark.parametrize("methods", [own_step, own_loss])
def test_a_step_of_one_s_own_may_log_another_loss(methods):
    model = type("Own", (keras.Sequential,), methods(keras.Sequential))([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert constant_loss_of(model, np.arange(4.0)) is None


def test_a_function_of_one_s_own_may_have_the_name_of_a_loss():
    def mean_squared_error(targets, outputs):
        return 10 * keras.ops.mean((targets - outputs) ** 2, axis=-1)

    assert constant_output_loss(mean_squared_error, np.arange(4.0)) is None
    assert constant_output_loss(keras.losses.mean_squared_error, np.arange(4.0)) == pytest.approx(1.25, rel=1e-4)


@pytest.mark.parametrize("targets", [np.ones((5, 4, 1)), np.ones((5, 4))])
def test_masked_places_leave_the_constant_of_a_sequence_unknown(targets):
    places = [keras.Input((4,)), keras.layers.Embedding(3, 2, mask_zero=True)]
    model = keras.Sequential([*places, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert constant_loss_of(model, targets) is None
    pooled = keras.Sequential([*places, keras.layers.LSTM(2), keras.layers.Dense(1)])
    pooled.compile("sgd", "mse")
    assert constant_loss_of(pooled, np.arange(4.0)) == pytest.approx(1.25, rel=1e-4)


@pytest.mark.parametrize(("loss", "weights"), [("mse", 10.0), ("mse", [10.0]), (["mse"], [10.0])])
def test_the_weight_of_a_single_loss_counts(loss, weights):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, loss_weights=weights)
    assert constant_loss_of(model, np.arange(4.0)) == pytest.approx(10 * np.var(np.arange(4.0)), rel=1e-4)


@pytest.mark.parametrize("called", [True, False])
@pytest.mark.parametrize("further", [{"activity_regularizer": "l2"}, {"kernel_regularizer": "l2"}])
def test_a_model_with_losses_of_its_own_has_no_known_constant(further, called):
    class Penalized(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(keras.ops.mean(inputs))
            return inputs

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, **further), Penalized()])
    model.compile("sgd", "mse")
    if called:
        model(np.ones((1, 2), "float32"))
    assert constant_loss_of(model, np.arange(4.0)) is None
