"""A project goes on with the search that began it, and with no other: what changes its numbers is compared."""

from __future__ import annotations

import abc
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import keras_lr
from keras_lr.errors import SearchError
from keras_lr.search._description import describe, describe_callbacks, describe_class, first_difference, hash_array
from keras_lr.search._fingerprint import describe_details
from tests.fresh_process import run_fresh
from tests.search.small_search import classifier, iris, run_small, small_search

RECORDS = ("lr", "records", "tuner0.jsonl")


class Scaled(keras.callbacks.Callback):
    """Sets the rate to a share of what it was; a callback with a private setting."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.model.optimizer.learning_rate * self._share


def scheduled(share: float) -> keras.callbacks.Callback:
    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * share)


def smoothed(smoothing: float, **options: Any) -> Callable[[], keras.Model]:
    """The classifier with a loss and arguments of `compile` of its own."""

    def build() -> keras.Model:
        model = classifier()()
        hot = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        model.compile("sgd", lambda y, logits: hot(keras.ops.one_hot(keras.ops.cast(y, "int32"), 3), logits), **options)
        return model

    return build


class Times:
    """A function that is an object."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, values: Any) -> Any:
        return values * self.factor


class Constant(keras.initializers.Initializer):
    """An initializer without `get_config`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return keras.ops.full(shape, self.value, dtype)


def detailed(
    *,
    factor: float = 2.0,
    bias: float = 0.5,
    weights: float = 1.0,
    decays: bool = True,
    sign: bool = False,
    steps: int = 0,
) -> Callable[[], keras.Model]:
    """A classifier whose details neither the configuration of a layer nor that of the optimizer holds."""

    def build() -> keras.Model:
        hidden = keras.layers.Dense(4, activation=Times(factor), bias_initializer=Constant(bias))
        model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3)])
        model.set_weights([weights * value for value in model.get_weights()])
        optimizer = keras.optimizers.AdamW(weight_decay=0.1)
        if not decays:
            optimizer.exclude_from_weight_decay(var_names=["kernel"])
        optimizer.build(model.trainable_variables)
        optimizer.iterations.assign(steps)
        if sign:
            optimizer.update_step = lambda gradient, weight, rate: weight.assign_sub(rate * keras.ops.sign(gradient))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    return build


def mixed() -> keras.Model:
    """The classifier in mixed precision."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return classifier()()
    finally:
        keras.config.set_dtype_policy("float32")


class Weighted(keras.Model):
    """A model with a step of its own, whose weight of the loss is an attribute."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.out = keras.layers.Dense(3)
        self.weight = weight

    def call(self, inputs: Any) -> Any:
        return self.out(inputs)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return self.weight * super().compute_loss(*args, **kwargs)


def weighted(weight: float) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        model = Weighted(weight)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    return build


class Fitting(keras_tuner.HyperModel):
    """A hypermodel whose own `fit` trains with a setting."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch

    def build(self, hp: Any) -> keras.Model:
        return classifier()()

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, **{**kwargs, "batch_size": self.batch})


class Reader(keras.utils.PyDataset):
    """Batches of the flowers, of a size of its own, in a new random order each time."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.shuffle()

    def shuffle(self) -> None:
        self.order = np.random.permutation(100)

    def __len__(self) -> int:
        return 100 // self.size

    def __getitem__(self, number: int) -> Any:
        x, y, _ = iris()
        rows = self.order[number * self.size : (number + 1) * self.size]
        return x[rows], y[rows]


def batched(size: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(iris()[:2]).shuffle(100).batch(size)


def first_flowers(scale: float = 1.0) -> tf.data.Dataset:
    x, y, _ = iris()
    return tf.data.Dataset.from_tensor_slices((x * scale, y)).batch(50)


PROJECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "arrays": (classifier(), {}),
    "callbacks": (
        classifier(),
        {"callbacks": [scheduled(0.5), Scaled(0.5), keras.callbacks.EarlyStopping(patience=3)]},
    ),
    "loss": (smoothed(0.1, steps_per_execution=1, metrics=["accuracy"]), {}),
    "weighted": (weighted(2.0), {}),
    "details": (detailed(), {}),
    "fit": (Fitting(25), {}),
    "pipeline": (classifier(), {"x": batched(20), "y": None, "batch_size": None}),
    "still pipeline": (classifier(), {"x": first_flowers(), "y": None, "batch_size": None}),
    "reader": (classifier(), {"x": Reader(20), "y": None, "batch_size": None}),
}


def search(directory: Path, build: Any, arguments: dict[str, Any], **options: Any) -> None:
    x, y, validation = iris()
    given = {"x": x, "y": y, "validation_data": validation, "epochs": 1, "batch_size": 16, "verbose": 0, **arguments}
    small_search(build, directory, repeats=1, **{"learning_rates": [1e-2], **options}).search(**given)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished search of each kind."""
    found = {name: tmp_path_factory.mktemp(name.replace(" ", "_")) for name in PROJECTS}
    for name, (build, arguments) in PROJECTS.items():
        search(found[name], build, arguments)
    return found


@pytest.fixture
def project(request: pytest.FixtureRequest, projects: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the project that the test names."""
    shutil.copytree(projects[request.param] / "lr", tmp_path / "lr")
    return tmp_path


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("arrays", {"steps_per_epoch": 2}, "`steps_per_epoch` is 2 and was None"),
    ("arrays", {"validation_steps": 1}, "`validation_steps` is 1 and was None"),
    ("arrays", {"validation_freq": [1]}, r"`validation_freq` is \[1\] and was 1"),
    ("arrays", {"validation_batch_size": 7}, "`validation_batch_size` is 7 and was 16"),
    ("arrays", {"shuffle": False}, "`shuffle` is False and was True"),
    ("arrays", {"batch_size": 20}, "`batch_size` is 20 and was 16"),
    ("arrays", {"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}, "`class_weight` is {'0': 1.0, '1': 2.0, '2': 1.0} and was"),
    ("arrays", {"sample_weight": np.full(100, 0.5, "float32")}, "the training data differs"),
    ("arrays", {"callbacks": [scheduled(0.5)]}, "the callbacks differ"),
    (
        "callbacks",
        {"callbacks": [scheduled(0.1), *PROJECTS["callbacks"][1]["callbacks"][1:]]},
        r"`LearningRateScheduler",
    ),
    (
        "callbacks",
        {"callbacks": [scheduled(0.5), Scaled(0.1), keras.callbacks.EarlyStopping(patience=3)]},
        "`Scaled._sh",
    ),
    (
        "callbacks",
        {"callbacks": [scheduled(0.5), Scaled(0.5), keras.callbacks.EarlyStopping(patience=4)]},
        r"\.patience",
    ),
    ("callbacks", {"callbacks": None}, "the callbacks differ"),
    ("arrays", {"build": mixed}, "`hypermodel` builds another model"),
    ("loss", {"build": smoothed(0.2, steps_per_execution=1, metrics=["accuracy"])}, r"other arguments \(`loss"),
    ("loss", {"build": smoothed(0.1, steps_per_execution=2, metrics=["accuracy"])}, r"\(`steps_per_execution`\)"),
    ("loss", {"build": smoothed(0.1, steps_per_execution=1)}, r"other arguments \(`metrics"),
    ("loss", {"build": smoothed(0.1, metrics=["accuracy"], run_eagerly=True)}, r"other arguments \(`run_eagerly"),
    ("loss", {"build": smoothed(0.1, metrics=["accuracy"], jit_compile=True)}, r"other arguments \(`jit_compile"),
    ("weighted", {"build": weighted(3.0)}, r"setting of the model differs \(`model.Weighted.weight`\)"),
    ("details", {"build": detailed(factor=3.0)}, r"setting of the model differs \(`layer 1.activation.Times.factor`\)"),
    ("details", {"build": detailed(bias=0.25)}, "a setting of the model differs"),
    ("details", {"build": detailed(weights=1.01)}, "builds a model with other initial weights"),
    ("details", {"build": detailed(decays=False)}, r"\(`without_decay`\)"),
    ("details", {"build": detailed(sign=True)}, r"\(`replaced`\)"),
    ("details", {"build": detailed(steps=9)}, "builds a model with other initial weights"),
    ("fit", {"build": Fitting(10)}, r"`fit` of the hypermodel differs \(`Fitting.batch`\)"),
    ("pipeline", {"x": batched(25)}, "the training data differs"),
    ("pipeline", {"x": batched(20).take(2)}, "the training data differs"),
    ("still pipeline", {"x": first_flowers(2.0)}, "the training data differs"),
    ("reader", {"x": Reader(25)}, r"the training data differs \(`Reader.size`\)"),
]


@pytest.mark.parametrize(("project", "change", "message"), CHANGES, indirect=["project"])
def test_what_changes_the_numbers_is_refused(project: Path, change: dict[str, Any], message: str, request: Any) -> None:
    lines = project.joinpath(*RECORDS).read_text()
    build, arguments = PROJECTS[request.node.callspec.params["project"]]
    arguments = {**arguments, **{name: value for name, value in change.items() if name != "build"}}
    with pytest.raises(SearchError, match=f"holds the records of another search: .*{message}"):
        search(project, change.get("build", build), arguments)
    assert project.joinpath(*RECORDS).read_text() == lines


@pytest.mark.parametrize("project", PROJECTS, indirect=True)
def test_the_same_search_goes_on(project: Path, request: Any) -> None:
    lines = project.joinpath(*RECORDS).read_text()
    build, arguments = PROJECTS[request.node.callspec.params["project"]]
    again = {"callbacks": [scheduled(0.5), Scaled(0.5), keras.callbacks.EarlyStopping(patience=3)], "x": Reader(20)}
    kept = {name: again[name] if name in again and name != "x" else value for name, value in arguments.items()}
    if isinstance(arguments.get("x"), Reader):
        kept["x"] = again["x"]
    search(project, build, kept)
    assert project.joinpath(*RECORDS).read_text() == lines


@pytest.mark.parametrize("project", ["arrays"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        {"callbacks": [keras.callbacks.ModelCheckpoint("unused.keras", monitor="loss", save_freq=10**9)]},
        {"callbacks": [keras.callbacks.TerminateOnNaN()][:0]},
        {"batch_size": np.int64(16)},
        {"steps_per_epoch": None, "initial_epoch": 0},
        {"verbose": 2},
    ],
)
def test_what_changes_no_number_goes_on(project: Path, change: dict[str, Any]) -> None:
    lines = project.joinpath(*RECORDS).read_text()
    search(project, classifier(), change)
    assert project.joinpath(*RECORDS).read_text() == lines


@pytest.mark.parametrize("project", ["arrays"], indirect=True)
def test_epochs_repeats_and_the_grid_may_change(project: Path) -> None:
    tuner = small_search(classifier(), project, repeats=2, learning_rates=[1e-3, 3e-3])
    frame = run_small(tuner, epochs=2)
    assert sorted(frame["learning_rate"].unique()) == [1e-3, 3e-3, 1e-2]
    assert frame.groupby(["learning_rate", "repeat"])["epoch"].size().tolist() == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("project", ["arrays"], indirect=True)
def test_records_of_an_earlier_version_go_on_with_what_they_do_not_name(project: Path) -> None:
    path = project.joinpath(*RECORDS)
    header, *lines = path.read_text().splitlines(keepends=True)
    known = json.loads(header)
    known["project"] = {name: known["project"][name] for name in ("model", "data", "seed", "validation")}
    path.write_text("".join([json.dumps(known) + "\n", *lines]))
    search(project, classifier(), {"steps_per_epoch": 2})
    with pytest.raises(SearchError, match="`hypermodel` builds another model"):
        search(project, classifier(keras.optimizers.SGD), {})


def wide_at_high_rates(hp: Any) -> keras.Model:
    model = classifier()()
    penalty = keras.regularizers.L2(hp.get("learning_rate"))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer=penalty)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_a_grid_grows_at_both_ends_although_the_model_depends_on_the_rate(tmp_path: Path) -> None:
    search(tmp_path, wide_at_high_rates, {})
    search(tmp_path, wide_at_high_rates, {}, learning_rates=[1e-3, 1e-2, 1e-1])
    frame = small_search(wide_at_high_rates, tmp_path, repeats=1).sensitivity().frame
    assert sorted(frame["learning_rate"].unique()) == [1e-3, 1e-2, 1e-1]


class Breaks(keras.callbacks.Callback):
    """A callback by which every run fails."""

    def on_train_begin(self, logs: Any = None) -> None:
        raise ZeroDivisionError("a mistake")


def test_a_search_that_recorded_nothing_binds_no_other(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="All 1 runs failed, the first with ZeroDivisionError: a mistake"):
        search(tmp_path, classifier(), {"callbacks": [Breaks()]})
    search(tmp_path, classifier(), {})
    with pytest.raises(SearchError, match="the callbacks differ"):
        search(tmp_path, classifier(), {"callbacks": [Breaks()]})


def test_validation_data_cannot_be_added_to_runs_without_it(tmp_path: Path) -> None:
    search(tmp_path, classifier(), {"validation_data": None}, objective="loss")
    with pytest.raises(SearchError, match="the recorded runs have no validation data"):
        search(tmp_path, classifier(), {})


@settings(max_examples=50, deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_two_functions_are_the_same_if_their_constants_are(one: float, other: float) -> None:
    # Zeros of both signs are equal, and either may stand for the other.
    assume(one or other)

    def constant(value: float) -> Callable[[], float]:
        return eval(f"lambda: {value!r}", {"__name__": "users", "inf": float("inf")})  # type: ignore[no-any-return]

    def enclosed(value: float) -> Callable[[], float]:
        return lambda: value

    def defaulted(value: float) -> Callable[..., float]:
        return lambda share=value: share

    for make in (constant, enclosed, defaulted):
        assert (describe(make(one)) == describe(make(other))) == (repr(one) == repr(other)), make.__name__


LIMIT = 1


def test_a_function_is_known_by_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    def helper() -> int:
        return LIMIT

    before = describe(helper)
    assert describe(helper) == before
    monkeypatch.setitem(globals(), "LIMIT", 2)
    assert describe(helper) != before


class Rule(abc.ABC):
    """A base class whose library base, `abc.ABC`, gives its objects no attributes."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    @abc.abstractmethod
    def apply(self, values: Any) -> Any: ...


class Scaling(Rule):
    def apply(self, values: Any) -> Any:
        return values * self.factor


class Offset(float):
    """A number with a method."""

    def apply(self, values: Any) -> Any:
        return values + self


class Weight(NamedTuple):
    factor: float


@pytest.mark.parametrize("kind", [Scaling, Offset, Weight])
def test_an_object_whose_library_class_has_no_attributes_is_known_by_its_own(kind: Callable[[float], Any]) -> None:
    assert describe(kind(0.5)) == describe(kind(0.5))
    assert first_difference(describe(kind(0.5)), describe(kind(0.25))) is not None


def test_a_log_that_a_callback_fills_is_no_setting() -> None:
    seen: list[int] = []
    logger = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    before = describe_callbacks([logger])
    seen.append(1)
    assert describe_callbacks([logger]) == before


def test_a_callback_that_only_observes_is_no_setting_but_its_subclass_may_be_one(tmp_path: Path) -> None:
    class Stopping(keras_lr.HistoryMonitor):
        pass

    observers = [keras_lr.LRRecorder(), keras_lr.HistoryMonitor(), keras_lr.ReportCallback(tmp_path / "report.html")]
    assert describe_callbacks([*observers, keras.callbacks.CSVLogger(tmp_path / "log.csv")]) == []
    assert len(describe_callbacks([*observers, Stopping()])) == 1


def described() -> str:
    """Descriptions of code and of settings, among them the constant of a set, whose order depends on the process."""
    member = keras.callbacks.LambdaCallback(lambda epoch, logs: epoch in {"a", "b", "c", "d", "e"})
    made = [scheduled(0.5), Scaled(0.5), member]
    return json.dumps([describe_callbacks(made), describe_class(Fitting), describe_details(smoothed(0.1)())])


def test_another_process_describes_the_same() -> None:
    program = "from tests.search.test_fingerprint import described; print(hash('a')); print(described())"
    number, said = run_fresh("-c", program).stdout.splitlines()
    assert said == described()
    assert int(number) != hash("a") or "PYTHONHASHSEED" in os.environ


@pytest.mark.parametrize("shape", [(4, 500_000), (2_000_000,), (1, 2_000_000)])
@pytest.mark.parametrize("place", [0, 1, 777_777, 1_999_999])
def test_one_changed_value_changes_the_hash_of_a_large_array(shape: tuple[int, ...], place: int) -> None:
    array = np.random.default_rng(0).random(shape, dtype="float32")
    before = hash_array(array)
    assert hash_array(array.copy()) == before
    array.reshape(-1)[place] += 1
    assert hash_array(array) != before


def test_a_difference_is_found_inside_lists_and_dicts() -> None:
    first = {"a": [1, {"b": 2, "code cpython-1": "x"}], "c": 1}
    assert first_difference(first, {"a": [1, {"b": 2, "code cpython-2": "y"}], "c": 1}) is None
    assert first_difference(first, {"a": [1, {"b": 3}], "c": 1}) == "a.1.b"
    assert first_difference(first, {"a": [1, {"b": 2}]}) == "c"
    assert first_difference(first, {"a": [1, {"b": 2}]}, shared_only=True) is None
