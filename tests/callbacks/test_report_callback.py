"""`ReportCallback`: a report however the training ends."""

import os
import re

import keras
import numpy as np
import pytest

from keras_lr import LRRangeTest, ReportCallback
from keras_lr.errors import InvalidArgumentError, ModelError


class At(keras.callbacks.Callback):
    """Raises `error` in one hook once `epoch` has begun."""

    def __init__(self, hook, error, *, epoch=2):
        super().__init__()
        self.epoch, self.begun, self.error = epoch, -1, error
        setattr(self, hook, self._raise)

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = epoch

    def _raise(self, *arguments, **options):
        if self.begun >= self.epoch:
            raise self.error


def classifier():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    model.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.fixture
def data(digits):
    return digits[0][:256], digits[1][:256]


def words(path):
    page = path.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", re.sub("<(svg|style|script).*?</\\1>", "", page, flags=re.S)))


def test_the_end_of_a_fit_writes_the_diagnosis(model, data, tmp_path):
    page = tmp_path / "page.html"
    callback = ReportCallback(page, title="Digits")
    model.fit(*data, validation_split=0.2, epochs=6, verbose=0, callbacks=[callback])
    shown = words(page)
    assert "Digits" in shown
    assert "Judged from 6 epochs of loss" in shown
    assert "The learning rate 5e-2 was" in shown or "No verdict on the learning rate 5e-2" in shown
    assert callback.report.to_json().count('"diagnosis"') == 1
    assert "was interrupted" not in shown


def test_a_line_says_where_the_report_is(model, data, tmp_path, capsys):
    model.fit(*data, epochs=1, verbose=2, callbacks=[ReportCallback(tmp_path / "page.html")])
    model.fit(*data, epochs=1, verbose=0, callbacks=[ReportCallback(tmp_path / "quiet.html")])
    assert capsys.readouterr().err == f"keras_lr: report written to {tmp_path / 'page.html'}.\n"


def test_a_single_epoch_is_shown_without_a_verdict(model, data, tmp_path):
    page = tmp_path / "page.html"
    model.fit(*data, epochs=1, verbose=0, callbacks=[ReportCallback(page)])
    assert "A history must have at least 2 epochs" in words(page)


def test_the_range_test_beside_it_is_in_the_report(model, data, tmp_path):
    page = tmp_path / "page.html"
    finder = LRRangeTest(num_steps=30, verbose=False)
    model.fit(*data, epochs=1, verbose=0, callbacks=[ReportCallback(page), finder])
    assert "Range test" in words(page)
    assert "30 of 30" in words(page) or finder.result.stop_reason != "completed"


# The hook that fails, its error, whether `ReportCallback` comes first, and what the report says.
FAILURES = {
    "Ctrl-C in a step": ("on_train_batch_end", KeyboardInterrupt(), True, "was interrupted after 2 of 5 epochs"),
    "an earlier callback's error": ("on_epoch_end", RuntimeError(), False, "was ended by RuntimeError after 2 of 5"),
    "a later callback's error": ("on_epoch_end", RuntimeError(), True, "was ended by RuntimeError after 3 of 5"),
    "Ctrl-C in the validation": ("on_test_batch_end", KeyboardInterrupt(), False, "interrupted after 2 of 5 epochs"),
}


@pytest.mark.parametrize(("hook", "error", "first", "said"), FAILURES.values(), ids=FAILURES)
def test_a_fit_that_fails_leaves_a_report_that_says_so(hook, error, first, said, model, data, tmp_path):
    page = tmp_path / "page.html"
    callbacks = [ReportCallback(page), At(hook, error)]
    attributes = set(vars(model))
    with pytest.raises(type(error)) as raised:
        model.fit(*data, validation_split=0.2, epochs=5, verbose=0, callbacks=callbacks[:: 1 if first else -1])
    assert raised.value is error
    assert said in words(page)
    assert set(vars(model)) - attributes <= {"_eval_epoch_iterator"}


def test_data_that_fail_leave_a_report(model, data, tmp_path):
    def batches():
        for number in range(14):
            if number == 13:
                raise ValueError("a broken file")
            yield data[0][:32], data[1][:32]

    page = tmp_path / "page.html"
    with pytest.raises(Exception, match="a broken file"):
        model.fit(batches(), steps_per_epoch=4, epochs=9, verbose=0, callbacks=[ReportCallback(page)])
    assert "after 3 of 9 epochs" in words(page)


def test_a_report_that_cannot_be_written_does_not_hide_why_the_fit_failed(model, data, tmp_path):
    page = tmp_path / "page.html"
    page.mkdir()
    with pytest.raises(KeyboardInterrupt) as raised:
        model.fit(*data, epochs=5, verbose=0, callbacks=[ReportCallback(page), At("on_epoch_end", KeyboardInterrupt())])
    assert "the report could not be written" in raised.value.__notes__[0]


def test_a_missing_folder_is_refused_before_any_step(model, data, tmp_path):
    before = [np.array(weights) for weights in model.get_weights()]
    with pytest.raises(InvalidArgumentError, match=r"`path` must be in a folder that exists\. Received: .*nowhere"):
        model.fit(*data, epochs=1, verbose=0, callbacks=[ReportCallback(tmp_path / "nowhere" / "page.html")])
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_report_behind_a_link_is_written_where_the_link_points(model, data, tmp_path):
    (tmp_path / "pages").mkdir()
    link = tmp_path / "latest.html"
    link.symlink_to("pages/first.html")
    model.fit(*data, epochs=1, verbose=0, callbacks=[ReportCallback(link)])
    assert link.is_symlink()
    assert "<svg" in (tmp_path / "pages" / "first.html").read_text(encoding="utf-8")
    link.unlink()
    link.symlink_to("nowhere/first.html")
    with pytest.raises(InvalidArgumentError, match=r"`path` must be in a folder that exists\. Received: .*latest"):
        model.fit(*data, epochs=1, verbose=0, callbacks=[ReportCallback(link)])


@pytest.mark.parametrize("place", [0, 1])
def test_a_fit_resumed_from_a_backup_reports_the_whole_run(place, data, tmp_path):
    # Not the shared model: once resumed, Keras starts every later fit of a model at that epoch.
    model = classifier()

    def train(*others):
        report = ReportCallback(tmp_path / "page.html")
        callbacks = list(others)
        callbacks.insert(place, report)
        model.fit(*data, validation_split=0.2, epochs=5, verbose=0, callbacks=callbacks)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(KeyboardInterrupt):
        train(backup(), At("on_train_batch_end", KeyboardInterrupt(), epoch=3))
    assert "was interrupted after 3 of 5 epochs" in words(tmp_path / "page.html")
    attributes = set(vars(model.optimizer))
    train(backup())
    assert "Judged from 5 epochs of loss" in words(tmp_path / "page.html")
    assert set(vars(model.optimizer)) == attributes


def test_an_unknown_monitor_is_refused_and_leaves_no_report(model, data, tmp_path):
    with pytest.raises(ModelError, match=r"`monitor` must name a loss in the logs\. Received: 'typo'; .*'loss'"):
        model.fit(*data, epochs=4, verbose=0, callbacks=[ReportCallback(tmp_path / "page.html", monitor="typo")])
    assert not list(tmp_path.iterdir())


def test_an_empty_title_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"`title` must be a non-empty string\. Received: ' '"):
        ReportCallback(title=" ")


def test_a_second_fit_continues_or_starts_over(model, data, tmp_path):
    callback = ReportCallback(tmp_path / "page.html")
    model.fit(*data, epochs=1, verbose=0, callbacks=[callback])
    model.fit(*data, initial_epoch=1, epochs=4, verbose=0, callbacks=[callback])
    assert "4 epochs" in words(callback.path)
    model.fit(*data, epochs=3, verbose=0, callbacks=[callback])
    assert "3 epochs" in words(callback.path)
