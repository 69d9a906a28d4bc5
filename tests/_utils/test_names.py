"""A misspelt or foreign name gets an error that says which one was meant."""

import copy
import importlib
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest

import keras_lr
from keras_lr import schedules, suggest
from keras_lr._utils import names
from keras_lr.errors import KerasLRError, UnknownArgumentError
from keras_lr.results import Finding, RangeTestResult
from tests.result_records import make_range_test
from tests.sensitivity_samples import sensitivity_result


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("find_LR", "find_lr"),
        ("find_learning_rate", "find_lr"),
        ("lr_find", "find_lr"),
        ("auto_lr", "AutoLR"),
        ("lr_range_test", "LRRangeTest"),
        ("LRFinder", "LRRangeTest"),
        ("ReduceLROnPlateau", "ReduceOnPlateau"),
        ("GridSearch", "LogGridSearch"),
        ("StepLR", "keras.optimizers.schedules.ExponentialDecay"),
        ("LinearLR", "keras_lr.schedules.Warmup"),
        ("Reports", "Report"),
        ("callback", "callbacks"),
        ("OneCycle", "keras_lr.schedules.OneCycle"),
        ("one_cycle", "keras_lr.schedules.OneCycle"),
        ("plot_sensitivty", "keras_lr.plots.plot_sensitivity"),
    ],
)
def test_the_package_knows_what_was_meant(name, meant):
    with pytest.raises(AttributeError) as raised:
        getattr(keras_lr, name)
    assert str(raised.value) == f"module 'keras_lr' has no attribute '{name}'. Did you mean '{meant}'?"


def test_a_traceback_suggests_the_name_once():
    done = subprocess.run([sys.executable, "-c", "import keras_lr; keras_lr.find_LR"], capture_output=True, text=True)
    assert done.stderr.count("Did you mean") == 1


@pytest.mark.parametrize("name", ["wibble", "EarlyStopping", "__wrapped__", "_find_lr"])
def test_a_name_that_is_like_no_other_gets_no_suggestion(name):
    with pytest.raises(AttributeError) as raised:
        getattr(keras_lr, name)
    assert str(raised.value) == f"module 'keras_lr' has no attribute '{name}'"


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        ("analysis", "analyse_history", "analyze_history"),
        ("callbacks", "Autolr", "AutoLR"),
        ("plots", "plot_histroy", "plot_history"),
        ("range_test", "find_LR", "find_lr"),
        ("report", "report", "Report"),
        ("results", "RangeTest", "RangeTestResult"),
        ("schedules", "LinearLR", "Warmup"),
        ("schedules", "Onecycle", "OneCycle"),
        ("schedules", "ReduceLROnPlateau", "keras_lr.ReduceOnPlateau"),
        ("search", "GridSearch", "LogGridSearch"),
    ],
)
def test_each_public_package_knows_what_was_meant(module, name, meant):
    with pytest.raises(AttributeError) as raised:
        getattr(getattr(keras_lr, module), name)
    assert str(raised.value) == f"module 'keras_lr.{module}' has no attribute '{name}'. Did you mean '{meant}'?"


def test_names_of_the_modules_are_those_that_they_have():
    """The list for the error is kept by hand, since reading the modules would import Keras."""
    for module, listed in keras_lr._ELSEWHERE.items():
        public = getattr(keras_lr, module).__all__
        assert set(listed) == {name for name in public if name not in keras_lr._HOMES}, module
    others = set(keras_lr._MODULES) - set(keras_lr._ELSEWHERE) - {"errors"}
    assert not [name for module in others for name in getattr(keras_lr, module).__all__ if name not in keras_lr._HOMES]
    for meant in names._FOREIGN_NAMES.values():
        module, _, name = meant.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("result", "name", "meant"),
    [
        (make_range_test, "learning_rate", "suggestion.learning_rate"),
        (make_range_test, "best_learning_rate", "suggestion.learning_rate"),
        (make_range_test, "low", "suggestion.low"),
        (make_range_test, "confidence", "suggestion.confidence"),
        (make_range_test, "loss", "losses"),
        (make_range_test, "to_dataframe", "to_frame"),
        (sensitivity_result, "learning_rate", "best_learning_rate"),
        (sensitivity_result, "lr", "best_learning_rate"),
        (sensitivity_result, "best_lr", "best_learning_rate"),
        (sensitivity_result, "tier", "engine"),
        (lambda: make_range_test().suggestion, "lr", "learning_rate"),
        (lambda: Finding("oscillation", "info", 1, 2, 1.0, "epochs", "So.", "Do."), "start", "start_epoch"),
    ],
)
def test_a_result_knows_where_what_is_looked_for_stands(result, name, meant):
    record = result()
    with pytest.raises(AttributeError) as raised:
        getattr(record, name)
    assert str(raised.value) == f"'{type(record).__name__}' object has no attribute '{name}'. Did you mean '{meant}'?"
    for part in meant.split("."):
        record = getattr(record, part)


def test_every_attribute_that_is_named_exists():
    for result in (make_range_test(), sensitivity_result()):
        for meant in type(result)._elsewhere.values():
            found = result
            for part in meant.split("."):
                found = getattr(found, part)


def test_a_result_is_copied_and_pickled_as_before():
    result = make_range_test()
    for other in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert isinstance(other, RangeTestResult)
        np.testing.assert_array_equal(other.losses, result.losses)
    assert not hasattr(result, "_ipython_display_")


@pytest.mark.parametrize(
    ("name", "argument", "meant"),
    [
        ("OneCycle", "max_lr", "peak_learning_rate"),  # torch
        ("OneCycle", "pct_start", "warmup_fraction"),
        ("OneCycle", "anneal_strategy", "shape"),
        ("OneCycle", "lr_max", "peak_learning_rate"),  # fastai
        ("OneCycle", "div_final", "final_div_factor"),
        ("Cyclical", "base_lr", "base_learning_rate"),  # torch
        ("Cyclical", "max_lr", "max_learning_rate"),
        ("Cyclical", "step_size_up", "up_steps"),
        ("Cyclical", "maximal_learning_rate", "max_learning_rate"),  # tensorflow_addons
        ("Cyclical", "initial_learning_rate", "base_learning_rate"),
        ("CosineRestarts", "T_0", "first_decay_steps"),  # torch
        ("CosineRestarts", "T_mult", "t_mul"),
        ("CosineRestarts", "eta_min", "end_learning_rate"),
        ("Polynomial", "num_warmup_steps", "warmup_steps"),  # Hugging Face
        ("Polynomial", "transition_steps", "decay_steps"),  # optax
        ("Polynomial", "end_value", "end_learning_rate"),
        ("Warmup", "learning_rate", "schedule"),
        ("Sequential", "milestones", "boundaries"),  # torch
        ("FlatCosine", "lr", "initial_learning_rate"),
        ("InverseSqrt", "warm_up_steps", "warmup_steps"),
        ("Scaled", "factr", "factor"),
    ],
)
def test_a_schedule_knows_which_argument_was_meant(name, argument, meant):
    schedule = getattr(schedules, name)
    with pytest.raises(TypeError) as raised:
        schedule(**{argument: 1})
    assert str(raised.value) == f"`{name}` has no argument `{argument}`. Did you mean `{meant}`?"
    assert isinstance(raised.value, KerasLRError)
    assert meant in inspect.signature(schedule).parameters


@pytest.mark.parametrize(
    ("name", "argument", "meant"),
    [
        ("LRRangeTest", "start_lr", "min_lr"),  # fastai, torch_lr_finder
        ("LRRangeTest", "end_lr", "max_lr"),
        ("LRRangeTest", "num_iter", "num_steps"),
        ("LRRangeTest", "step_mode", "sweep"),
        ("LRRangeTest", "stop_div", "stop_on_divergence"),
        ("LRRangeTest", "diverge_th", "stop_on_divergence"),
        ("LRRangeTest", "num_training", "num_steps"),  # Lightning
        ("LRRangeTest", "update_attr", "apply"),
        ("AutoLR", "num_steps", "probe_steps"),
        ("ReduceOnPlateau", "threshold", "min_delta"),  # torch
        ("ReduceOnPlateau", "min_learning_rate", "min_lr"),
        ("MomentumCycle", "base_momentum", "min_momentum"),  # torch
        ("ReportCallback", "filepath", "path"),  # Keras
        ("HistoryMonitor", "metric", "monitor"),
        ("LRRecorder", "freq", "frequency"),
    ],
)
def test_a_callback_knows_which_argument_was_meant(name, argument, meant):
    with pytest.raises(UnknownArgumentError) as raised:
        getattr(keras_lr, name)(**{argument: 1})
    assert str(raised.value) == f"`{name}` has no argument `{argument}`. Did you mean `{meant}`?"


def test_a_subclass_with_arguments_of_its_own_takes_them():
    class Named(keras_lr.LRRecorder):
        def __init__(self, name, **kwargs):
            super().__init__(**kwargs)
            self.name = name

    assert Named(name="a", frequency="step").frequency == "step"
    with pytest.raises(TypeError, match="wibble"):
        Named(name="a", wibble=1)


def test_the_length_in_epochs_is_converted_and_an_unlike_name_gets_the_whole_list():
    with pytest.raises(UnknownArgumentError) as raised:
        schedules.OneCycle(0.1, epochs=3, steps_per_epoch=10, three_phase=True, wibble=1)
    assert str(raised.value) == (
        "`OneCycle` has no argument `epochs` or `steps_per_epoch`. Count optimizer steps: `total_steps` is "
        "`epochs * steps_per_epoch`. `OneCycle` has no argument `wibble`. Its arguments are `peak_learning_rate`, "
        "`total_steps`, `warmup_fraction`, `div_factor`, `final_div_factor`, `shape`, `three_phase`."
    )


def test_a_schedule_built_from_a_suggestion_knows_too():
    rates = np.geomspace(1e-6, 1, 200)
    suggestion = suggest(rates, 2 / (1 + rates / 1e-3) + 0.2)
    with pytest.raises(UnknownArgumentError, match=r"`OneCycle` has no argument `div`\. Did you mean `div_factor`\?"):
        schedules.from_suggestion(suggestion, "one_cycle", total_steps=100, div=3)


def test_what_to_do_instead_may_be_said_by_the_caller():
    with pytest.raises(UnknownArgumentError) as raised:
        names.check_argument_names(
            "Search", ["depth", "batch_size"], ["depth", "width"], remedies={"batch_size": "Pass it to `search`."}
        )
    assert str(raised.value) == "`Search` has no argument `batch_size`. Pass it to `search`."
    names.check_argument_names("Search", ["depth"], ["depth", "width"])


def test_every_foreign_argument_has_a_counterpart_somewhere():
    """In a schedule or a callback, or in `LogGridSearch` or `find_lr`."""
    classes = [getattr(room, name) for room in (schedules, keras_lr.callbacks) for name in room.__all__]
    takers = [kind for kind in classes if inspect.isclass(kind)] + [keras_lr.LogGridSearch, keras_lr.find_lr]
    accepted = {name for taker in takers for name in inspect.signature(taker).parameters}
    assert {meant for all_meant in names._FOREIGN_ARGUMENTS.values() for meant in all_meant} <= accepted
    assert {meant for remedies in names._REMEDIES.values() for meant in remedies} <= accepted


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("start_lr", "Did you mean `min_lr`?"),  # fastai
        ("end_lr", "Did you mean `max_lr`?"),
        ("num_iter", "Did you mean `num_steps`?"),  # torch-lr-finder
        ("num_training", "Did you mean `num_steps`?"),  # Lightning
        ("batchsize", "Did you mean `batch_size`?"),
        ("bs", "Did you mean `batch_size`?"),  # fastai
        ("lr_max", "Did you mean `max_lr`?"),
        ("smooth_f", "The curve is smoothed without an argument, and the losses are recorded as they are."),
        ("show_plot", "Call `plot()` of the result."),
        ("optimizer", "The test uses what the model was compiled with."),
        ("callbacks", "Pass `keras_lr.LRRangeTest()` to `fit` beside other callbacks."),
        ("steps_per_epoch", "The test counts training steps, not epochs. Pass `num_steps`."),
    ],
)
def test_a_range_test_knows_which_argument_was_meant(argument, sentence):
    with pytest.raises(UnknownArgumentError) as raised:
        keras_lr.find_lr(None, None, **{argument: 1})
    assert str(raised.value) == f"`find_lr` has no argument `{argument}`. {sentence}"


@pytest.mark.parametrize(
    ("callback", "name", "meant"),
    [
        (keras_lr.LRRangeTest, "suggestion", "result.suggestion"),
        (keras_lr.LRRangeTest, "plot", "result.plot"),
        (keras_lr.LRRangeTest, "best_lr", "result.suggestion.learning_rate"),
        (keras_lr.AutoLR, "plot", "log.plot"),
        (keras_lr.AutoLR, "result", "log"),
    ],
)
def test_a_callback_says_where_its_result_is(callback, name, meant):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'. Did you mean '{meant}'\\?"):
        getattr(callback(), name)


def test_a_function_that_suggests_arguments_is_called_as_it_was():
    @names.suggests_arguments
    def share(part, whole=4, *, scale=1):
        """Part of the whole."""
        return scale * part / whole

    assert (share(1), share(1, whole=2), share(1, 2, scale=3)) == (0.25, 0.5, 1.5)
    assert (share.__name__, share.__doc__, list(inspect.signature(share).parameters)[-1]) == (
        "share",
        "Part of the whole.",
        "scale",
    )
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'part'"):
        share()


@pytest.mark.parametrize("function", [keras_lr.analyze_history, keras_lr.analyze_histories])
def test_an_argument_of_a_diagnosis_may_be_misspelt(function):
    with pytest.raises(UnknownArgumentError, match=r"has no argument `lr`\. Did you mean `learning_rate`\?"):
        function({"loss": [3.0, 2.0, 1.0]}, lr=1e-3)
