import json
import pickle
import shutil
from decimal import Decimal

import keras
import numpy as np
import pandas as pd
import pytest

from keras_lr.analysis import analyze_history
from keras_lr.analysis._diagnosis.files import logs_in
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results import AutoLRLog
from tests.result_records import make_range_test


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 3))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    loggers = [keras.callbacks.CSVLogger(folder / "run.csv")]
    try:
        loggers.append(keras.callbacks.TensorBoard(folder / "events", write_graph=False))
    except ImportError:
        pytest.skip("the TensorBoard callback needs the tensorboard package")
    history = model.fit(x, x.sum(1), validation_split=0.25, validation_freq=2, epochs=6, verbose=0, callbacks=loggers)
    return history, folder


def test_history_object_spreads_validation_over_its_epochs(recorded):
    read = read_history(recorded[0])
    np.testing.assert_array_equal(np.isfinite(read.val_loss), [False, True] * 3)
    np.testing.assert_array_equal(read.val_loss[1::2], recorded[0].history["val_loss"])


def test_csv_logger_file_with_missing_validation_reads_as_the_history(recorded):
    read, direct = read_history(recorded[1] / "run.csv"), read_history(recorded[0])
    np.testing.assert_allclose(read.loss, direct.loss, rtol=1e-6)
    np.testing.assert_allclose(read.val_loss, direct.val_loss, rtol=1e-6)


def test_tensorboard_directory_reads_as_the_history(recorded):
    read, direct = read_history(recorded[1] / "events"), read_history(recorded[0])
    np.testing.assert_allclose(read.loss, direct.loss, rtol=1e-6)
    np.testing.assert_allclose(read.val_loss, direct.val_loss, rtol=1e-6)


def test_json_frame_and_dict_agree(tmp_path):
    columns = {"loss": [3.0, 2.0, 1.5], "val_loss": [3.0, 2.5, 2.0], "learning_rate": [0.1, 0.1, 0.1]}
    (tmp_path / "run.json").write_text(json.dumps(columns))
    for source in (columns, pd.DataFrame(columns), tmp_path / "run.json"):
        read = read_history(source)
        np.testing.assert_array_equal(read.loss, columns["loss"])
        assert read.learning_rate == 0.1


def test_a_resumed_csv_keeps_the_last_row_of_each_epoch(tmp_path):
    (tmp_path / "run.csv").write_text("epoch,loss,val_loss\n0,5,NA\n1,4,4\n2,9,9\n1,3,3\n2,2,2\n")
    read = read_history(tmp_path / "run.csv")
    np.testing.assert_array_equal(read.loss, [5, 3, 2])
    np.testing.assert_array_equal(read.epochs, [0, 1, 2])


ROWS = [("epoch", "loss", "val_loss"), ("0", "3.5", "4.5"), ("1", "2.5", "3.5"), ("2", "1.5", "2.5")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", ", "; "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_usual_separator_and_line_end_is_read(tmp_path, separator, end):
    (tmp_path / "run.csv").write_bytes("\ufeff".encode() + end.join(separator.join(row) for row in ROWS).encode())
    read = read_history(tmp_path / "run.csv")
    np.testing.assert_array_equal(read.loss, [3.5, 2.5, 1.5])
    np.testing.assert_array_equal(read.val_loss, [4.5, 3.5, 2.5])
    assert read.monitor == "loss"


def test_decimal_commas_beside_semicolons_are_read(tmp_path):
    (tmp_path / "run.csv").write_text("\n".join(";".join(row).replace(".", ",") for row in ROWS))
    np.testing.assert_array_equal(read_history(tmp_path / "run.csv").loss, [3.5, 2.5, 1.5])


@pytest.mark.parametrize("text", [json.dumps, lambda columns: pd.DataFrame(columns).to_json()])
def test_json_with_a_byte_order_mark_or_by_row_is_read(tmp_path, text):
    (tmp_path / "run.JSON").write_text(text({"loss": [3.0, 2.0, 1.5]}), encoding="utf-8-sig")
    np.testing.assert_array_equal(read_history(tmp_path / "run.JSON").loss, [3.0, 2.0, 1.5])


@pytest.mark.parametrize("scalar", [np.array, np.float32, Decimal, keras.ops.convert_to_tensor])
def test_scalars_of_any_kind_are_numbers(scalar):
    read = read_history({"loss": [scalar(value) for value in (3.0, 2.0, 1.5)]})
    np.testing.assert_array_equal(read.loss, [3.0, 2.0, 1.5])


@pytest.mark.parametrize(
    ("validation", "training"),
    [
        ("val/loss", "train/loss"),
        ("epoch/val_loss", "epoch/loss"),
        ("Validation Loss", "Loss"),
        ("eval_loss", "loss_1"),
    ],
)
def test_a_validation_loss_that_comes_first_is_not_taken_for_the_training_loss(validation, training):
    read = read_history({validation: [9.0, 8.0, 7.0], training: [3.0, 2.0, 1.5]})
    assert read.monitor == training
    np.testing.assert_array_equal(read.loss, [3.0, 2.0, 1.5])


def test_a_directory_of_several_runs_is_refused(recorded, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(recorded[1] / "events", tmp_path / name)
    with pytest.raises(CurveError, match=r"must hold one run\. Received: .*, with 2, such as .*a\. Pass one of these"):
        read_history(tmp_path)


def test_the_loss_of_an_output_that_is_called_like_a_metric_is_no_metric():
    read = read_history({"iou_loss": [3.0, 2.0, 1.0]})
    assert read.direction == "min"
    np.testing.assert_array_equal(read.loss, [3.0, 2.0, 1.0])


def test_a_metric_that_should_grow_is_kept_as_it_is_and_negated_only_as_a_loss():
    read = read_history({"accuracy": [0.1, 0.5, 0.7], "val_accuracy": [0.1, np.nan, 0.6]})
    assert read.direction == "max"
    np.testing.assert_array_equal(read.values, [0.1, 0.5, 0.7])
    np.testing.assert_array_equal(read.val_values, [0.1, np.nan, 0.6])
    np.testing.assert_array_equal(read.loss, [-0.1, -0.5, -0.7])
    np.testing.assert_array_equal(read.val_loss, [-0.1, np.nan, -0.6])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "which is empty"),
        (b" \r\n\n", "which is empty"),
        (b"0,0.1,3.5,3.5,3.5\n1,0.2,2.5,2.5,2.5\n", "first row holds numbers, not names such as"),
        (b"epoch,weight\n0,1\n1,2\n2,3\n", "`loss` column"),
        (b"loss\nlow\nhigh\nhigh\n", "must hold numbers"),
        (b"epoch,loss\n0,3\n1,2\n1e19,1\n", r"`epoch` must hold numbers below 2\*\*53"),
        (b"epoch,loss\n0,1\n1,2,3,4\n", "CSV file with a header"),
        (b"epoch,loss\n0,1,2\n1,2,3\n2,3,4\n", "CSV file with a header.*Length of header"),
        (b"epoch,loss\n0,\n1,NA\n2,None\n", r"`loss` is empty\. Log"),
        (b"0,3.5\n1,2.5\n2,1.5\n", "CSV file with a header.*first row holds numbers, not names such as"),
        (b"[1] 3.5\n[2] 2.5\n[3] 1.5\n", "CSV file with a header.*first row holds numbers, not names such as"),
        (b"epoch,loss\n0,1\n", "at least 2 epochs"),
        (b"\x89PNG\0\0\0", "binary"),
        (pickle.dumps({"loss": [3, 2, 1]}), r"binary\. If you trust its source, load it with `pickle`"),
        (b"PK\x03\x04\0", r"binary\. Unpack the archive"),
        (b"\x93NUMPY\x01\0", r"binary\. Load it with NumPy"),
        (b"epoch,l\xff\xfe\n0,1\n", "`loss` column"),
    ],
)
def test_malformed_files_are_refused(tmp_path, content, message):
    (tmp_path / "run.csv").write_bytes(content)
    with pytest.raises(CurveError, match=message):
        analyze_history(tmp_path / "run.csv")


def test_a_ragged_column_beside_the_loss_is_left_out():
    diagnosis = analyze_history({"loss": [4.0, 2.0, 1.0, 0.5], "confusion": [[1], [1, 2], [], [3]]})
    assert list(diagnosis.epochs) == [0, 1, 2, 3]


def test_a_column_may_be_called_kind(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": ["a", "b", "c"], "loss": [3, 2, 1]}')
    assert analyze_history(tmp_path / "run.json").losses == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("losses", [[np.nan], [np.nan] * 5, [np.inf, np.nan], [2.0, np.inf]])
def test_a_run_that_was_never_finite_is_too_high_in_memory_and_in_files_and_at_any_length(tmp_path, losses):
    columns = {"loss": losses, "val_loss": losses, "learning_rate": [3.0] * len(losses)}
    pd.DataFrame(columns).to_csv(tmp_path / "run.csv", na_rep="nan")
    (tmp_path / "run.json").write_text(json.dumps(columns))
    for source in (columns, pd.DataFrame(columns), tmp_path / "run.csv", tmp_path / "run.json"):
        diagnosis = analyze_history(source)
        assert (diagnosis.verdict, diagnosis.findings[0].kind) == ("too_high", "divergence")
        assert diagnosis.suggested_high == pytest.approx(0.9)


def test_own_records_are_read_whether_in_memory_or_stored(tmp_path):
    losses = np.array([3.0, 2.0, 9.0, 1.5])
    rates = np.array([0.1, 0.1, 0.03, 0.03])
    log = AutoLRLog((), np.array([0, 1, 1, 2]), rates, losses, losses + 1, start_learning_rate=0.1)
    diagnosis = analyze_history({"epoch": [4, 5, 6], "loss": [3.0, 2.0, 1.0]})
    for record, expected in ((log, [3.0, 9.0, 1.5]), (diagnosis, [3.0, 2.0, 1.0])):
        record.save(tmp_path / "record.json")
        for source in (record, tmp_path / "record.json"):
            np.testing.assert_array_equal(read_history(source).loss, expected)
    np.testing.assert_array_equal(read_history(log).val_loss, [4.0, 10.0, 2.5])
    assert analyze_history(diagnosis) == diagnosis


@pytest.mark.parametrize("monitor", ["accuracy", "val/f1", "head_loss"])
def test_a_diagnosis_read_again_is_the_same_by_any_series(monitor):
    diagnosis = analyze_history({monitor: [0.1, 0.3, 0.4, 0.45], f"val_{monitor}": [0.1, 0.2, 0.3, 0.3]})
    assert diagnosis.monitor == monitor
    assert analyze_history(diagnosis) == diagnosis


def test_records_of_no_single_run_are_refused():
    sweep = make_range_test()
    with pytest.raises(InvalidArgumentError, match="Read its `suggestion`"):
        analyze_history(sweep)
    with pytest.raises(InvalidArgumentError, match="analyze_histories"):
        analyze_history(sweep.suggestion)


def test_mixed_lengths_are_refused():
    with pytest.raises(CurveError, match="must have the same length"):
        read_history({"loss": [1, 2, 3], "learning_rate": [1, 2]})


def test_an_empty_directory_is_refused(tmp_path):
    with pytest.raises(CurveError, match="event files"):
        read_history(tmp_path)


def test_a_foreign_object_is_refused():
    with pytest.raises(InvalidArgumentError, match="`source` must be"):
        read_history(3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        read_history(tmp_path / "absent.csv")


def test_the_logs_in_a_directory_are_files_and_the_folders_of_tools(tmp_path):
    names = [
        *("a.csv", "b.log.gz", "model.keras", ".hidden.csv", ".git/c.csv", "deep/er/d.jsonl"),
        *("board/run/train/events.out.tfevents.1", "board/run/validation/events.out.tfevents.2"),
        *("flow/0/a1/metrics/loss", "flow/0/a1/params/lr"),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in logs_in(tmp_path)]
    assert found == ["a.csv", "b.log.gz", "board/run", "deep/er/d.jsonl", "flow/0/a1"]
    assert logs_in(tmp_path / "board" / "run") == [tmp_path / "board" / "run"]
    with pytest.raises(CurveError, match=r"which has none\. Pass a log in it, such as .*deep/er/d\.jsonl\."):
        analyze_history(tmp_path / "deep")
