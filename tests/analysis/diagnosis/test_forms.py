"""Each form of a log, as the library that writes it leaves it, with the numbers that must be read from it."""

import bz2
import gzip
import io
import json
import lzma
import re
import subprocess
import sys
import textwrap
import types
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_lr.analysis import analyze_histories, analyze_history
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.errors import CurveError, InvalidArgumentError
from tests.versions import prints_what_it_logs

NAN = np.nan


@pytest.fixture
def read(tmp_path):
    """Reads a text, or the JSON of an object, as a file of this name."""

    def read_as(name, content, **options):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_history(path, **options)

    return read_as


def check(history, monitor, epochs, values, val_values=None, *, unit="epoch", rates=None):
    assert (history.monitor, history.unit) == (monitor, unit)
    np.testing.assert_array_equal(history.epochs, epochs)
    np.testing.assert_allclose(history.values, values, rtol=1e-6)
    if val_values is None:
        assert history.val_values is None
    else:
        np.testing.assert_allclose(history.val_values, val_values, rtol=1e-6)
    if rates is not None:
        np.testing.assert_allclose(history.learning_rates, rates, rtol=1e-6)


LIGHTNING_EPOCHS = """\
epoch,lr-Adam,step,train_loss_epoch,train_loss_step,val_acc,val_loss
,0.001,0,,,,
0,,49,,2.0,,
0,,99,,1.5,,
0,,117,,,0.5,1.4
0,,117,1.8,,,
,0.0005,118,,,,
1,,149,,1.2,,
1,,235,,,0.6,1.0
1,,235,1.15,,,
,0.0005,236,,,,
2,,353,,,0.7,0.9
2,,353,0.95,,,
"""
LIGHTNING_STEPS = """\
train_loss,step,epoch,val_loss
2.0,49,0,
1.5,99,0,
,117,0,1.4
1.2,149,1,
1.1,199,1,
,235,1,1.0
"""


def test_lightning_metrics_logged_per_epoch(read):
    history = read("metrics.csv", LIGHTNING_EPOCHS)
    check(history, "train_loss_epoch", [0, 1, 2], [1.8, 1.15, 0.95], [1.4, 1.0, 0.9], rates=[1e-3, 5e-4, 5e-4])


def test_lightning_metrics_logged_per_step(read):
    history = read("metrics.csv", LIGHTNING_STEPS)
    check(history, "train_loss", [49, 99, 149, 199], [2.0, 1.5, 1.2, 1.1], [NAN, 1.4, NAN, 1.0], unit="step")


TRAINER_LOG = [
    {"epoch": 0.5, "grad_norm": 2.0, "learning_rate": 4e-5, "loss": 2.5, "step": 10},
    {"epoch": 1.0, "grad_norm": 1.5, "learning_rate": 3e-5, "loss": 2.0, "step": 20},
    {"epoch": 1.0, "eval_accuracy": 0.4, "eval_loss": 2.1, "eval_runtime": 1.0, "step": 20},
    {"epoch": 1.5, "grad_norm": 1.2, "learning_rate": 2e-5, "loss": 1.5, "step": 30},
    {"epoch": 2.0, "grad_norm": 1.1, "learning_rate": 1e-5, "loss": 1.2, "step": 40},
    {"epoch": 2.0, "eval_accuracy": 0.6, "eval_loss": 1.4, "eval_runtime": 1.0, "step": 40},
    {"epoch": 2.0, "step": 40, "total_flos": 1e15, "train_loss": 1.8, "train_runtime": 9.0},
]


def test_hugging_face_trainer_state(read):
    state = {"best_metric": None, "epoch": 2.0, "global_step": 40, "log_history": TRAINER_LOG, "stateful_callbacks": {}}
    expected = ("loss", [10, 20, 30, 40], [2.5, 2.0, 1.5, 1.2], [NAN, 2.1, NAN, 1.4])
    for history in (
        read("trainer_state.json", state),
        read("log_history.json", TRAINER_LOG),
        read("log_history.csv", pd.DataFrame(TRAINER_LOG).to_csv()),
        read_history(TRAINER_LOG),
        read_history(pd.DataFrame(TRAINER_LOG)),
    ):
        check(history, *expected, unit="step", rates=[4e-5, 3e-5, 2e-5, 1e-5])


def test_hugging_face_state_in_memory_and_a_history_beside_other_fields(read):
    state = types.SimpleNamespace(log_history=TRAINER_LOG)
    check(read_history(state), "loss", [10, 20, 30, 40], [2.5, 2, 1.5, 1.2], [NAN, 2.1, NAN, 1.4], unit="step")
    saved = {"params": {"epochs": 2}, "history": {"loss": [3, 2], "val_loss": [4, 3]}}
    check(read("history.json", saved), "loss", [0, 1], [3, 2], [4, 3])


def test_hugging_face_log_with_one_row_per_epoch(read):
    log = [{"epoch": float(n), "loss": 3 / n, "step": 7 * n} for n in (1, 2, 3)]
    log[1:1] = [{"epoch": 1.0, "eval_loss": 3.1, "step": 7}]
    check(read("log.json", log), "loss", [1, 2, 3], [3, 1.5, 1], [3.1, NAN, NAN])


def test_wandb_history(read):
    rows = """\
        _runtime,_step,_timestamp,epoch,train/loss,val/loss,system/gpu.0.temp
        1.5,0,1700000000.1,0,2.0,,
        2.5,1,1700000001.1,0,,2.2,40
        3.5,2,1700000002.1,1,1.0,,
        4.5,3,1700000003.1,1,,1.3,
        5.5,4,1700000004.1,2,0.5,,41
        6.5,5,1700000005.1,2,,1.1,
        """
    history = read("wandb.csv", textwrap.dedent(rows))
    check(history, "train/loss", [0, 1, 2], [2.0, 1.0, 0.5], [2.2, 1.3, 1.1])
    frame = pd.read_csv(io.StringIO(textwrap.dedent(rows)))
    check(read_history(frame), "train/loss", [0, 1, 2], [2.0, 1.0, 0.5], [2.2, 1.3, 1.1])


def test_wandb_history_of_its_keras_callback(read):
    rows = "_step,epoch/epoch,epoch/learning_rate,epoch/loss,epoch/val_loss\n0,0,.1,3,4\n1,1,.1,2,3\n2,2,.01,1,2\n"
    check(read("wandb.csv", rows), "epoch/loss", [0, 1, 2], [3, 2, 1], [4, 3, 2], rates=[0.1, 0.1, 0.01])


WANDB_CHART = """\
"Step","fast-1 - train/loss","fast-1 - train/loss__MIN","fast-1 - train/loss__MAX","slow - train/loss",\
"slow - train/loss__MIN","slow - train/loss__MAX","slow - val/loss","slow - val/loss__MIN","slow - val/loss__MAX"
"10","2","2","2","3","3","3","","",""
"20","1","1","1","2.5","2.5","2.5","2.9","2.9","2.9"
"30","","","","2.25","2.25","2.25","2.7","2.7","2.7"
"""


def test_wandb_chart_of_several_runs(read, tmp_path):
    check(read("chart.csv", WANDB_CHART, run="fast-1"), "train/loss", [10, 20], [2, 1], unit="step")
    slow = ("train/loss", [10, 20, 30], [3, 2.5, 2.25], [NAN, 2.9, 2.7])
    check(read("chart.csv", WANDB_CHART, run="slow"), *slow, unit="step")
    check(read("chart.csv", WANDB_CHART, run=2), *slow, unit="step")
    with pytest.raises(
        CurveError, match=r"must hold one run\. Received: .*, with 2, such as fast-1\. .* name as `run`"
    ):
        read_history(tmp_path / "chart.csv")
    with pytest.raises(InvalidArgumentError, match=r"`run` must be one of \['fast-1', 'slow'\]\. Received: 'fast'"):
        read_history(tmp_path / "chart.csv", run="fast")


MLFLOW_ROWS = """\
run_id,key,value,timestamp,step
a1,loss,2.0,1000,0
a1,loss,1.0,1003,1
a1,loss,0.5,1006,2
a1,val_loss,2.2,1001,0
a1,val_loss,1.2,1004,1
a1,val_loss,0.9,1007,2
a1,learning_rate,0.1,999,0
a1,accuracy,0.2,1000,0
a1,accuracy,0.5,1003,1
a1,accuracy,0.8,1006,2
"""


def test_mlflow_metric_history(read):
    history = read("metrics.csv", MLFLOW_ROWS)
    check(history, "loss", [0, 1, 2], [2.0, 1.0, 0.5], [2.2, 1.2, 0.9], unit="step", rates=[0.1] * 3)
    np.testing.assert_array_equal(history.metric, [0.2, 0.5, 0.8])
    assert history.val_metric is None


def test_mlflow_metric_history_from_its_rest_interface(read):
    metrics = [{"key": "loss", "value": 3.0 - n, "timestamp": 9 + n, "step": n} for n in range(3)]
    check(read("history.json", {"metrics": metrics}), "loss", [0, 1, 2], [3, 2, 1], unit="step")


def test_mlflow_metric_history_of_several_runs(read):
    rows = MLFLOW_ROWS + MLFLOW_ROWS.partition("\n")[2].replace("a1", "b2").replace("0.5,", "0.25,")
    check(read("m.csv", rows, run="b2"), "loss", [0, 1, 2], [2.0, 1.0, 0.25], [2.2, 1.2, 0.9], unit="step")
    with pytest.raises(CurveError, match="with 2, such as a1"):
        read("m.csv", rows)


def test_mlflow_run_directory(tmp_path):
    metrics = tmp_path / "mlruns" / "0" / "a1" / "metrics"
    (metrics / "val").mkdir(parents=True)
    (metrics / "loss").write_text("1000 3.0 0\n1002 2.0 1\n1004 1.0 2\n")
    (metrics / "val" / "loss").write_text("1001 3.5 0\n1003 2.5 1\n1005 nan 2\n")
    for folder in (tmp_path / "mlruns", metrics.parent, metrics):
        check(read_history(folder), "loss", [0, 1, 2], [3, 2, 1], [3.5, 2.5, NAN], unit="step")


@pytest.mark.parametrize(
    "header",
    [
        "run_id,experiment_id,status,metrics.loss,params.lr",
        "Start Time,Duration,Run ID,Name,loss",
        "Name,State,Created,Runtime,train/loss",
    ],
)
def test_a_table_with_one_row_per_run_is_refused(read, header):
    with pytest.raises(CurveError, match=r"a table with one row per run.*Export the history of one run"):
        read("runs.csv", header + "\na,b,c,d,1.0\ne,f,g,h,0.5\n")


def test_yolo_results(read):
    history = read(
        "results.csv",
        """\
                  epoch,         train/box_loss,         train/cls_loss,      metrics/mAP50(B),           val/box_loss,           val/cls_loss,                 lr/pg0,                 lr/pg1
                      1,                      2,                      3,                   0.1,                    2.5,                    3.5,                  0.002,                  0.001
                      2,                    1.5,                      2,                   0.2,                      2,                    2.5,                  0.004,                  0.002
                      3,                      1,                      1,                   0.3,                    nan,                      2,                  0.003,                  0.001
""",  # noqa: E501
    )
    check(history, "loss", [1, 2, 3], [5, 3.5, 2], [6, 4.5, NAN], rates=[0.002, 0.004, 0.003])
    assert history.notes == (
        "`loss` is the sum of `train/box_loss`, `train/cls_loss`.",
        "Of 2 learning rates, the highest is judged, `lr/pg0`.",
    )


def test_yolo_classification_results_have_a_loss_of_their_own(read):
    history = read("results.csv", "epoch,train/loss,metrics/accuracy_top1,val/loss\n1,3,.1,4\n2,2,.2,3\n3,1,.3,2\n")
    check(history, "train/loss", [1, 2, 3], [3, 2, 1], [4, 3, 2])


@pytest.mark.parametrize(
    ("evaluation", "monitor"),
    [
        ({"train": {"logloss": [3, 2, 1]}, "eval": {"logloss": [4, 3, 2]}}, "logloss"),
        ({"eval": {"rmse": [4, 3, 2]}, "train": {"rmse": [3, 2, 1]}}, "rmse"),
        ({"validation_0": {"error": [9, 8, 7], "mlogloss": [3, 2, 1]}, "validation_1": {"mlogloss": [4, 3, 2]}}, None),
        ({"training": {"binary_logloss": [3, 2, 1]}, "valid_1": {"binary_logloss": [4, 3, 2]}}, "binary_logloss"),
        ({"learn": {"Logloss": [3, 2, 1]}, "validation": {"Logloss": [4, 3, 2], "AUC": [0.5, 0.6, 0.7]}}, "Logloss"),
    ],
)
def test_xgboost_evaluation(read, evaluation, monitor):
    for history in (read_history(evaluation), read("evals_result.json", evaluation)):
        check(history, monitor or "mlogloss", [0, 1, 2], [3, 2, 1], [4, 3, 2])


def test_xgboost_cross_validation():
    columns = {"train-rmse-mean": [3, 2, 1], "train-rmse-std": [0.1] * 3, "test-rmse-mean": [4, 3, 2]}
    check(read_history(pd.DataFrame(columns)), "train-rmse-mean", [0, 1, 2], [3, 2, 1], [4, 3, 2])


def test_histories_by_name_in_one_file(read):
    histories = {"small": {"loss": [3, 2, 1]}, "large": {"loss": [6, 5, 4], "val_loss": [7, 6, 5]}}
    check(read("runs.json", histories, run="large"), "loss", [0, 1, 2], [6, 5, 4], [7, 6, 5])
    with pytest.raises(CurveError, match="with 2, such as small"):
        read("runs.json", histories)


FASTAI = "epoch,train_loss,valid_loss,accuracy,time\n0,2,2.2,0.3,00:12\n1,1.5,1.7,0.5,00:12\n2,1,1.4,0.6,00:11\n"


def test_fastai_history(read):
    history = read("history.csv", FASTAI)
    check(history, "train_loss", [0, 1, 2], [2, 1.5, 1], [2.2, 1.7, 1.4])
    # Measured on validation data, whatever its name.
    assert history.metric is None


def test_fastai_history_appended_with_its_header(read):
    both = FASTAI + FASTAI.replace("2,1,1.4", "2,0.75,1.2")
    last = read("history.csv", both)
    check(last, "train_loss", [0, 1, 2], [2, 1.5, 0.75], [2.2, 1.7, 1.2])
    assert last.notes == (
        "The source holds 2 runs, because its epochs start over. This is the last one, `run 2`; read another with "
        '`run="run 1"`.',
    )
    check(read("history.csv", both, run="run 1"), "train_loss", [0, 1, 2], [2, 1.5, 1], [2.2, 1.7, 1.4])


def test_a_repeated_header_separates_runs_that_count_no_epochs(read):
    text = "loss,val_loss\n3,4\n2,3\nloss,val_loss\n9,8\n8,7\n7,6\n"
    check(read("run.csv", text), "loss", [0, 1, 2], [9, 8, 7], [8, 7, 6])
    check(read("run.csv", text, run=1), "loss", [0, 1], [3, 2], [4, 3])


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_keras_csv_logger_with_another_separator(tmp_path, separator):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 3))
    logger = keras.callbacks.CSVLogger(tmp_path / "run.log", separator=separator)
    fitted = model.fit(x, x.sum(1), validation_split=0.25, epochs=3, verbose=0, callbacks=[logger])
    history = read_history(tmp_path / "run.log")
    check(history, "loss", [0, 1, 2], fitted.history["loss"], fitted.history["val_loss"])


PLAIN = "epoch,loss,val_loss\n0,2.5,2.6\n1,1.5,1.7\n2,1.25,1.5\n"
DIALECTS = {
    "comments above": "# seed 3, lr 0.1\n# started\n" + PLAIN,
    "commented header": "# " + PLAIN,
    "commented header of numpy": "# epoch loss val_loss\n0 2.5 2.6\n1 1.5 1.7\n2 1.25 1.5\n",
    "separators at the end of rows": "epoch,loss,val_loss\n0,2.5,2.6,\n1,1.5,1.7,\n2,1.25,1.5,\n",
    "two separators at the end of rows": "epoch,loss,val_loss\n0,2.5,2.6,,\n1,1.5,1.7,,\n2,1.25,1.5,,\n",
    "separators at the end of all": "epoch;loss;val_loss;\n0;2,5;2,6;\n1;1,5;1,7;\n2;1,25;1,5;\n",
    "quoted decimal commas": 'epoch,loss,val_loss\n"0","2,5","2,6"\n"1","1,5","1,7"\n"2","1,25","1,5"\n',
    "arrays of one element": "epoch,loss,val_loss\n0,tensor(2.5),[2.6]\n1,tensor(1.5),[1.7]\n2,tensor(1.25),[1.5]\n",
    "tensors on a device": "epoch;loss;val_loss\n0;tensor(2.5, device='cuda:0');2.6\n"
    "1;tensor(1.5, device='cuda:0');1.7\n2;tensor(1.25, device='cuda:0');1.5\n",
    "zeros of a power failure": PLAIN + "\0" * 40,
    "carriage returns": PLAIN.replace("\n", "\r"),
    "dict as Python prints it": "{'loss': [2.5, 1.5, 1.25], 'val_loss': [2.6, 1.7, 1.5], 'note': None}\n",
    "rows as Python prints them": "loading\n{'loss': 2.5, 'epoch': 0.0}\n{'eval_loss': 2.6, 'epoch': 0.0}\n10%|#\n"
    "{'loss': 1.5, 'epoch': 1.0}\n{'eval_loss': 1.7, 'epoch': 1.0}\n"
    "{'loss': 1.25, 'epoch': 2.0}\n{'eval_loss': 1.5, 'epoch': 2.0}\n{'train_runtime': 3.1}\n",
    "table in Markdown": "| epoch | loss | val_loss |\n|:---:|---|---|\n| 0 | 2.5 | 2.6 |\n| 1 | 1.5 | 1.7 |\n"
    "| 2 | 1.25 | 1.5 |\n",
    "separator for Excel": "\ufeffsep=;\nepoch;loss;val_loss\n0;2,5;2,6\n1;1,5;1,7\n2;1,25;1,5\n",
    "dicts behind progress bars": "  0%|  | 0/9 [00:00<?, ?it/s]\r{'loss': 2.5, 'epoch': 0}   \r"
    " 33%|# | 3/9 [00:05<00:10,  1.9it/s]{'val_loss': 2.6, 'epoch': 0}\n{'loss': 1.5, 'val_loss': 1.7, 'epoch': 1}\n"
    "{'loss': 1.25, 'val_loss': 1.5, 'epoch': 2}\n",
    "rows of training and of validation": "epoch,phase,loss\n0,train,2.5\n0,val,2.6\n1,train,1.5\n1,val,1.7\n"
    "2,train,1.25\n2,val,1.5\n",
    "objects of training and of validation": '{"env": "x"}\n'
    '{"mode": "train", "epoch": 0, "iter": 9, "loss": 2.5}\n{"mode": "val", "epoch": 0, "iter": 9, "loss": 2.6}\n'
    '{"mode": "train", "epoch": 1, "iter": 9, "loss": 1.5}\n{"mode": "val", "epoch": 1, "iter": 9, "loss": 1.7}\n'
    '{"mode": "train", "epoch": 2, "iter": 9, "loss": 1.25}\n{"mode": "val", "epoch": 2, "iter": 9, "loss": 1.5}\n',
    "table in a frame": "+---+---+\n| epoch | loss | val_loss |\n+---+---+\n| 0 | 2.5 | 2.6 |\n| 1 | 1.5 | 1.7 |\n"
    "| 2 | 1.25 | 1.5 |\n+---+---+\n",
    "numbers as NumPy prints them": "{'loss': [np.float64(2.5), np.float64(1.5), np.float64(1.25)], "
    "'val_loss': [np.float32(2.6), np.float32(1.7), np.float32(1.5)]}\n",
    "numbers as TensorFlow prints them": "{'epoch': 0, 'loss': <tf.Tensor: shape=(), dtype=float32, numpy=2.5>, "
    "'val_loss': array(2.6, dtype=float32)}\n{'epoch': 1, 'loss': 1.5, 'val_loss': 1.7}\n"
    "{'epoch': 2, 'loss': tensor(1.25), 'val_loss': 1.5}\n",
    "lists as NumPy prints them": "loss = [np.float64(2.5), np.float64(1.5), np.float64(1.25)]\n"
    "val_loss = [np.float64(2.6), np.float64(1.7), np.float64(1.5)]\n",
    "a frame as pandas prints it": "   epoch  loss  val_loss\n0      0  2.50       2.6\n1      1  1.50       1.7\n"
    "2      2  1.25       1.5\n",
    "cut off within a number": PLAIN + "3,1",
    "objects by epoch": '{"0": {"loss": 2.5, "val_loss": 2.6}, "1": {"loss": 1.5, "val_loss": 1.7}, '
    '"2": {"loss": 1.25, "val_loss": 1.5}}',
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_is_read_as_the_plain_file(read, dialect):
    check(read("run.csv", DIALECTS[dialect]), "loss", [0, 1, 2], [2.5, 1.5, 1.25], [2.6, 1.7, 1.5])


def test_commas_between_thousands_are_told_from_decimal_ones(read):
    text = 'epoch,loss,val_loss\n0,"12,500.5","3,000"\n1,"2,500.25",900\n2,"1,250.0",800\n'
    check(read("run.csv", text), "loss", [0, 1, 2], [12500.5, 2500.25, 1250], [3000, 900, 800])


@pytest.mark.parametrize(
    ("rows", "separator"),
    [
        (["12.500,5;3.000", "2.500,25;900", "1.250;800,0"], ";"),
        (["12\u202f500,5;3\u202f000", "2\u202f500,25;900", "1\u202f250,0;800"], ";"),
        (["12 500,5\t3 000", "2 500,25\t900", "1 250,0\t800"], "\t"),
        (["12'500.5;3'000", "2'500.25;900", "1'250.0;800"], ";"),
    ],
    ids=["German", "French", "with spaces", "Swiss"],
)
def test_thousands_are_read_as_each_country_writes_them(read, rows, separator):
    lines = [separator.join(("epoch", "loss", "val_loss")), *(f"{n}{separator}{row}" for n, row in enumerate(rows))]
    check(read("run.csv", "\n".join(lines) + "\n"), "loss", [0, 1, 2], [12500.5, 2500.25, 1250], [3000, 900, 800])


@pytest.mark.parametrize(
    "text",
    [
        'step,loss,val_loss\n"500",2.5,2.6\n"1,000",1.5,1.7\n"1,500",1.25,1.5\n',
        "step;loss;val_loss\n500;2.5;2.6\n1,000;1.5;1.7\n1,500;1.25;1.5\n",
        "step;loss;val_loss\n500;2,5;2,6\n1.000;1,5;1,7\n1.500;1,25;1,5\n",
    ],
    ids=["in quotes", "beside semicolons", "German"],
)
def test_a_counter_may_have_thousands_where_the_other_mark_is_decimal(read, text):
    check(read("run.csv", text), "loss", [500, 1000, 1500], [2.5, 1.5, 1.25], [2.6, 1.7, 1.5], unit="step")


def test_thousands_may_begin_late_in_a_table(read):
    rows = "".join(f'"{10 * n:,}",{2 + 1 / n}\n' for n in range(1, 251))
    check(
        read("run.csv", "step,loss\n" + rows), "loss", np.arange(10, 2501, 10), 2 + 1 / np.arange(1, 251), unit="step"
    )


def test_a_minus_sign_of_a_typesetter_is_one(read):
    text = "epoch,loss,val_loss\n0,\u22121.5,\u22121.25\n1,\u22122.5,\u22122.25\n"
    check(read("run.csv", text), "loss", [0, 1], [-1.5, -2.5], [-1.25, -2.25])


@pytest.mark.parametrize("count", ["{}/3", "Epoch {}", "[{}]", "[{}/3]", "epoch: {}"])
def test_an_epoch_may_be_written_with_words(read, count):
    rows = "".join(f"{count.format(n + 1)},{loss},{val_loss}\n" for n, (loss, val_loss) in enumerate(EPOCHS))
    check(read("run.csv", "epoch,loss,val_loss\n" + rows), *CONSOLE)


def test_a_share_in_percent_is_a_metric(read):
    rows = "".join(f"{n},{3 - n},{20 + 30 * n}%\n" for n in range(3))
    np.testing.assert_allclose(read("run.csv", "epoch,loss,accuracy\n" + rows).accuracy, [0.2, 0.5, 0.8])


@pytest.mark.parametrize(
    ("extension", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files_are_read_and_damaged_ones_refused(tmp_path, extension, compress):
    columns = {"loss": [2.5, 1.5, 1.25], "val_loss": [2.6, 1.7, 1.5]}
    for name, text in (("run.csv", PLAIN), ("run.json", json.dumps(columns))):
        path = tmp_path / f"{name}.{extension}"
        path.write_bytes(compress(text.encode()))
        check(read_history(path), "loss", [0, 1, 2], columns["loss"], columns["val_loss"])
        path.write_bytes(compress(text.encode())[:-9])
        with pytest.raises(CurveError, match="must be a complete file"):
            read_history(path)


def test_an_archive_is_refused_with_what_to_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.writestr("run.csv", PLAIN)
    with pytest.raises(CurveError, match="Unpack the archive"):
        read_history(tmp_path / "run.zip")


def test_names_in_latin_1(tmp_path):
    (tmp_path / "run.csv").write_bytes("epoch,loss,précision\n0,3,0.1\n1,2,0.2\n".encode("latin-1"))
    check(read_history(tmp_path / "run.csv"), "loss", [0, 1], [3, 2])


def test_utf16_text_as_powershell_writes_it(tmp_path):
    (tmp_path / "run.csv").write_bytes("epoch,loss\r\n0,3\r\n1,2\r\n2,1\r\n".encode("utf-16"))
    check(read_history(tmp_path / "run.csv"), "loss", [0, 1, 2], [3, 2, 1])


def test_tensorboard_download_of_one_scalar(read):
    text = "Wall time,Step,Value\n1700000000.5,0,3\n1700000001.5,1,2\n1700000002.5,2,1\n"
    check(read("run_train-tag-epoch_loss.csv", text), "loss", [0, 1, 2], [3, 2, 1], unit="step")
    with pytest.raises(CurveError, match=r"must have a `loss` column\. Received the columns \['Step', 'Value'"):
        read("scalars.csv", text)


def test_json_lines(read):
    lines = [{"epoch": n, "train_loss": 3 - n, "test_loss": 4 - n, "n_parameters": 7} for n in range(3)]
    text = "\n".join(json.dumps(line) for line in lines)
    check(read("log.txt", text), "train_loss", [0, 1, 2], [3, 2, 1], [4, 3, 2])


KERAS3_LINE = (
    "\x1b[1m{step}/3\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m0s\x1b[0m 5ms/step - {values}"
)


def keras3_console(epochs, *, dynamic):
    """What Keras 3 prints with `verbose=1`, to a terminal or, not `dynamic`, to a file."""
    end = "\b" * 70 + "\r" if dynamic else "\n"
    text = ""
    for number, (loss, val_loss) in enumerate(epochs, 1):
        early = KERAS3_LINE.format(step=1, values=f"accuracy: 0.1000 - loss: {9 - loss:.4f}")
        trained = KERAS3_LINE.format(step=3, values=f"accuracy: 0.2000 - loss: {loss:.4f}")
        text += f"Epoch {number}/{len(epochs)}\n{early}{end}{trained}{end}"
        text += f"{trained} - val_accuracy: 0.3000 - val_loss: {val_loss:.4e} - learning_rate: 0.0010\n"
    return text + KERAS3_LINE.format(step=3, values="accuracy: 0.9000 - loss: 7.7000") + "\n0.9\n"


EPOCHS = [(2.5, 2.6), (1.5, 1.7), (1.0, 1.4)]
CONSOLE = ("loss", [1, 2, 3], [2.5, 1.5, 1.0], [2.6, 1.7, 1.4])


@pytest.mark.parametrize("dynamic", [True, False])
def test_console_text_of_keras_3_verbose_1(read, dynamic):
    check(read("log.txt", keras3_console(EPOCHS, dynamic=dynamic)), *CONSOLE, rates=[1e-3] * 3)


def test_console_text_of_older_versions_verbose_1(read):
    text = "Train on 96 samples\n"
    for number, (loss, val_loss) in enumerate(EPOCHS, 1):
        text += f"Epoch {number}/3\n\r 1/3 [=========>....................] - ETA: 0s - loss: 8.0000"
        text += f"\r3/3 [==============================] - 1s 5ms/step - loss: {loss} - val_loss: {val_loss}\n"
        text += f"\nEpoch 0000{number}: val_loss improved, saving model to best.h5\n"
    check(read("train.log", text + "3/3 [====] - 0s 2ms/step - loss: 0.3\nTest loss: 0.3\n"), *CONSOLE)


@pytest.mark.parametrize(
    "line",
    [
        "3/3 - 0s - 22ms/step - loss: {} - val_loss: {}",
        "3/3 - 1s - loss: {} - val_loss: {} - 600ms/epoch - 200ms/step",
        " - 1s - loss: {} - val_loss: {}",
        "1s - loss: {} - val_loss: {}",
    ],
)
def test_console_text_verbose_2_of_any_version(read, line):
    text = "".join(f"Epoch {n}/3\n{line.format(*values)}\n" for n, values in enumerate(EPOCHS, 1))
    check(read("slurm-1.out", text), *CONSOLE)


@pytest.mark.parametrize("verbose", [pytest.param(1, marks=prints_what_it_logs), 2])
def test_console_text_as_fit_prints_it_now(tmp_path, capsys, verbose):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.random.default_rng(0).normal(size=(96, 3))
    fitted = model.fit(x, x.sum(1), validation_split=1 / 3, epochs=3, verbose=verbose)
    model.evaluate(x, x.sum(1), verbose=verbose)
    (tmp_path / "log.txt").write_text(capsys.readouterr().out, encoding="utf-8")
    history = read_history(tmp_path / "log.txt")
    assert list(history.epochs) == [1, 2, 3]
    np.testing.assert_allclose(history.values, fitted.history["loss"], atol=5.1e-5)
    np.testing.assert_allclose(history.val_values, fitted.history["val_loss"], atol=5.1e-5)


def test_console_text_of_a_loss_that_became_nan(read):
    text = "Epoch 1/3\n3/3 - 0s - loss: 2.5\nEpoch 2/3\n3/3 - 0s - loss: inf\nEpoch 3/3\n3/3 - 0s - loss: nan\n"
    check(read("log.txt", text), "loss", [1, 2, 3], [2.5, np.inf, NAN])


def test_console_text_of_an_interrupted_epoch_ends_before_it(read):
    text = "".join(f"Epoch {n}/9\n3/3 - 0s - loss: {4 - n}\n" for n in (1, 2, 3))
    check(read("log.txt", text + "Epoch 4/9\n\r1/3 [=>....] - ETA: 1s - loss: 9.0"), "loss", [1, 2, 3], [3, 2, 1])
    with pytest.raises(CurveError, match="shows no finished epoch"):
        read("log.txt", "Epoch 1/9\n1/3 [=>....] - ETA: 1s - loss: 9.0")


def notebook(*outputs, cells="cells"):
    content = {"cell_type": "code", "source": ["model.fit(x, y)"], "outputs": list(outputs)}
    body = {"cells": [{"cell_type": "markdown", "source": ["Epoch 1/3"]}, content]}
    return {"nbformat": 4, "metadata": {}, **(body if cells == "cells" else {cells: [body]})}


def test_notebook_with_console_text_in_its_cells(read):
    text = keras3_console(EPOCHS, dynamic=True)
    stream = {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}
    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0", "text/plain": ["<Figure>"]}}
    check(read("run.ipynb", notebook(stream, picture)), *CONSOLE)
    check(read("old.ipynb", notebook({**stream, "text": text}, cells="worksheets")), *CONSOLE)


def test_notebook_with_two_fits_gives_the_last_or_each_by_number(read):
    first, second = (keras3_console(epochs, dynamic=True) for epochs in (EPOCHS, [(9, 9), (8, 8)]))
    both = notebook(*({"output_type": "stream", "text": text} for text in (first, second)))
    last = read("run.ipynb", both)
    check(last, "loss", [1, 2], [9, 8], [9, 8])
    assert "holds 2 runs" in last.notes[0]
    check(read("run.ipynb", both, run=1), *CONSOLE)


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        (
            ["epoch", "train_loss", "valid_loss", "accuracy", "time"],
            [["0", "2.5", "2.6", "0.2", "00:05"], ["1", "1.5", "1.7", "0.4", "00:05"]],
            ("train_loss", [0, 1], [2.5, 1.5], [2.6, 1.7]),
        ),
        (
            ["Step", "Training Loss", "Validation Loss"],
            [["10", "2.5", "No log"], ["20", "1.5", "1.7"]],
            ("Training Loss", [10, 20], [2.5, 1.5], [NAN, 1.7]),
        ),
    ],
)
def test_notebook_with_the_table_of_fastai_or_hugging_face(read, header, rows, expected):
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    page = f"<table><tr style='x'>{''.join(f'<th>{name}</th>' for name in header)}</tr><tbody>{cells}</tbody></table>"
    output = {"output_type": "display_data", "data": {"text/html": ["<p>Training</p>", page]}}
    check(read("run.ipynb", notebook(output)), *expected, unit="step" if "Step" in header else "epoch")


def test_notebook_without_a_history_is_refused(read):
    with pytest.raises(CurveError, match="must show the epochs of a `fit` in an output cell"):
        read("run.ipynb", notebook({"output_type": "stream", "text": "hello"}))


def test_kaggle_log(read):
    lines = [{"stream_name": "stderr", "time": 1.0, "data": "warning\n"}]
    for n, values in enumerate(EPOCHS, 1):
        lines.append({"stream_name": "stdout", "time": 2.0 * n, "data": f"Epoch {n}/3\n"})
        lines.append(
            {"stream_name": "stdout", "time": 2.5 * n, "data": "3/3 - 0s - loss: {} - val_loss: {}\n".format(*values)}
        )
    check(read("kernel.log", lines), *CONSOLE)


def test_a_blank_cell_is_not_logged_and_only_the_text_nan_is_not_finite(read):
    check(read("run.csv", "epoch,loss\n0,3\n1,\n2,1\n3,NA\n4,.5\n"), "loss", [0, 2, 4], [3, 1, 0.5])
    check(
        read("run.csv", "epoch,loss\n0,3\n1,nan\n2,1\n3,-inf\n4,1.#QNAN\n"), "loss", range(5), [3, NAN, 1, -np.inf, NAN]
    )
    check(read("run.json", {"loss": [3, None, 1, "NaN", "Infinity"]}), "loss", [0, 2, 3, 4], [3, 1, NAN, np.inf])
    check(read("run.json", '{"loss": [3, NaN, 1]}'), "loss", [0, 1, 2], [3, NAN, 1])
    check(read("run.json", [{"epoch": 0, "loss": 3}, {"epoch": 1}, {"epoch": 2, "loss": 1}]), "loss", [0, 2], [3, 1])


def test_a_last_row_that_was_cut_off_is_not_logged(read):
    check(read("run.csv", "epoch,loss,val_loss\n0,3,4\n1,2,3\n2"), "loss", [0, 1], [3, 2], [4, 3])


def test_nan_in_a_frame_is_not_finite_only_where_training_ended_with_it():
    diverged = pd.DataFrame({"loss": [3, 2, NAN], "mae": [1, 1, NAN], "lr": [0.1] * 3})
    check(read_history(diverged), "loss", [0, 1, 2], [3, 2, NAN])
    gap = pd.DataFrame({"loss": [3, NAN, 1]}, index=pd.Index([0, 5, 10], name="epoch"))
    check(read_history(gap), "loss", [0, 10], [3, 1])


def test_two_runs_in_one_csv(read, tmp_path):
    runs = [2.3 * np.exp(-np.arange(20) / 6) + 0.1, 2.3 * np.exp(-np.arange(5) / 40)]
    rows = "".join(
        f"{n},{loss},{rate}\n" for run, rate in zip(runs, (0.01, 1e-4), strict=True) for n, loss in enumerate(run)
    )
    check(read("run.csv", "epoch,loss,learning_rate\n" + rows), "loss", range(5), runs[1], rates=[1e-4] * 5)
    first = read_history(tmp_path / "run.csv", run=1)
    check(first, "loss", range(20), runs[0], rates=[0.01] * 20)
    assert first.notes == ()
    diagnosis = analyze_history(tmp_path / "run.csv")
    assert diagnosis.learning_rate == 1e-4
    assert re.search("holds 2 runs.* the last one, `run 2`", diagnosis.reasons[-1])
    each = {f"run {n}": analyze_history(tmp_path / "run.csv", run=n) for n in (1, 2)}
    assert analyze_histories(each).best_run == "run 1"
    with pytest.raises(InvalidArgumentError, match=r"`run` must be one of \['run 1', 'run 2'\]\. Received: 3"):
        read_history(tmp_path / "run.csv", run=3)


def test_a_single_epoch_after_another_run_is_refused_by_the_name_of_both(read):
    with pytest.raises(CurveError, match=r"Received: 1 of `loss`.* holds 2 runs.* `run=\"run 1\"`"):
        read("run.csv", "epoch,loss\n0,3\n1,2\n0,4\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("learning_rate", "loss", "val_loss"), ("loss", "val_loss")),
        (("accuracy", "loss"), ("loss",)),
        (("loss",), ("accuracy", "loss")),
    ],
)
def test_a_run_that_csv_logger_appended_with_other_columns_is_refused(tmp_path, before, after):
    path = tmp_path / "run.csv"
    for columns in (before, after):
        logger = keras.callbacks.CSVLogger(path, append=True)
        logger.set_model(keras.Sequential())
        logger.on_train_begin()
        for epoch in range(3):
            logger.on_epoch_end(epoch, dict.fromkeys(columns, 1.0 / (epoch + 1)))
        logger.on_train_end()
    with pytest.raises(CurveError, match=r"rows from line 5 on have .* with other columns had been appended"):
        read_history(path)


def test_rows_of_a_run_that_end_after_the_last_value_are_read(read):
    text = "epoch,loss,val_loss\n0,9,10\n1,8,9\n2,7\n3,6\n"
    check(read("run.csv", text), "loss", [0, 1, 2, 3], [9, 8, 7, 6], [10, 9, NAN, NAN])


def test_a_resumed_run_loses_the_epochs_that_it_trained_again(read):
    text = "epoch,loss,val_loss\n0,9,9\n1,8,8\n2,7,7\n3,6,6\n1,5,\n2,4,4\n"
    check(read("run.csv", text), "loss", [0, 1, 2], [9, 5, 4], [9, NAN, 4])


def events_of(folder, runs):
    """Writes runs of `(loss, val_loss)` per epoch with the callback's layout and tags, one after the other."""
    for run in runs:
        writers = [tf.summary.create_file_writer(str(folder / part)) for part in ("train", "validation")]
        for epoch, values in enumerate(run):
            for writer, value in zip(writers, values, strict=True):
                with writer.as_default():
                    tf.summary.scalar("epoch_loss", value, step=epoch)
        for writer in writers:
            writer.close()


def test_two_runs_in_one_tensorboard_directory(tmp_path):
    events_of(tmp_path, [EPOCHS, [(9, 9.5), (8, 8.5)]])
    last = read_history(tmp_path)
    check(last, "loss", [0, 1], [9, 8], [9.5, 8.5])
    assert "holds 2 runs" in last.notes[0]
    check(read_history(tmp_path, run="run 1"), "loss", [0, 1, 2], [2.5, 1.5, 1.0], [2.6, 1.7, 1.4])


def test_tensorboard_runs_side_by_side_are_read_by_name(tmp_path):
    events_of(tmp_path / "a", [EPOCHS])
    events_of(tmp_path / "b", [[(9, 9.5), (8, 8.5)]])
    check(read_history(tmp_path, run=str(tmp_path / "b")), "loss", [0, 1], [9, 8], [9.5, 8.5])


def test_tensorboard_files_of_other_libraries(tmp_path):
    with tf.Graph().as_default():
        writer = tf.compat.v1.summary.FileWriter(str(tmp_path))
    for epoch, (loss, val_loss) in enumerate(EPOCHS):
        for tag, value in (("Loss/train", loss), ("Loss/val", val_loss), ("lr", 0.1)):
            summary = tf.compat.v1.Summary(value=[tf.compat.v1.Summary.Value(tag=tag, simple_value=value)])
            writer.add_summary(summary, epoch)
    writer.close()
    expected = ("Loss/train", [0, 1, 2], [2.5, 1.5, 1.0], [2.6, 1.7, 1.4])
    check(read_history(tmp_path), *expected, unit="step", rates=[0.1] * 3)
    check(read_history(next(tmp_path.iterdir())), *expected, unit="step")


def test_tensorboard_files_are_read_without_tensorflow(tmp_path):
    events_of(tmp_path, [EPOCHS])
    script = f"""
        import sys
        sys.modules["tensorflow"] = sys.modules["tensorboard"] = None
        from keras_lr import analyze_history
        print(analyze_history({str(tmp_path)!r}).losses)
        """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "(2.5, 1.5, 1.0)"


def test_event_files_without_scalars_are_refused(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        tf.summary.text("note", "hello", step=0)
    writer.close()
    with pytest.raises(CurveError, match=r"must hold scalars\. Received: .*whose event files have none"):
        read_history(tmp_path)


@pytest.mark.parametrize("kind", [tf.float32, tf.float64])
def test_tensorboard_scalars_of_either_precision_up_to_a_damaged_record(tmp_path, kind):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in range(4):
            value = tf.constant(4.0 - step, kind)
            metadata = tf.compat.v1.SummaryMetadata()
            metadata.plugin_data.plugin_name = "scalars"
            tf.summary.write("loss", value, step=step, metadata=metadata)
            tf.summary.write("weights", tf.ones(3, kind), step=step, metadata=metadata)
    writer.close()
    (file,) = tmp_path.iterdir()
    check(read_history(tmp_path), "loss", [0, 1, 2, 3], [4, 3, 2, 1], unit="step")
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"loss") + 2])
    check(read_history(tmp_path), "loss", [0, 1, 2], [4, 3, 2], unit="step")


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ({"epochs": 11, "validation_freq": 4}, [3, 7]),
        ({"epochs": 100, "validation_freq": 30}, [29, 59, 89]),
        ({"epochs": 12, "initial_epoch": 3, "validation_freq": 5}, [1, 6]),
        ({"epochs": 10, "validation_freq": [1, 2, 10]}, [0, 1, 9]),
    ],
)
def test_validation_of_a_history_is_at_its_true_epochs_or_asked_for(arguments, rows):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    fitted = model.fit(x, x.sum(1), validation_split=0.5, verbose=0, **arguments)
    with pytest.raises(
        CurveError, match=r"`val_loss` has \d values for \d+ epochs.*Pass `validation_freq` as you gave"
    ):
        read_history(fitted)
    history = read_history(fitted, validation_freq=arguments["validation_freq"])
    assert np.flatnonzero(np.isfinite(history.val_loss)).tolist() == rows
    np.testing.assert_array_equal(history.val_loss[rows], fitted.history["val_loss"])
    with pytest.raises(InvalidArgumentError, match=r"must be as given to `fit`\. Received: 1, which validates"):
        read_history(fitted, validation_freq=1)


@pytest.mark.parametrize(("epochs", "count", "every"), [(6, 3, 2), (12, 6, 2), (20, 4, 5), (4, 1, None), (10, 3, None)])
def test_a_validation_frequency_is_inferred_only_if_it_is_the_only_one(epochs, count, every):
    columns = {"loss": range(epochs, 0, -1), "val_loss": range(count)}
    if every is None:
        with pytest.raises(CurveError, match=f"`val_loss` has {count} values for {epochs} epochs"):
            read_history(columns)
    else:
        found = np.flatnonzero(np.isfinite(read_history(columns).val_values))
        assert found.tolist() == list(range(every - 1, epochs, every))


@pytest.mark.parametrize("frequency", [0, 2.5, "2"])
def test_a_validation_frequency_that_is_none_is_refused(frequency):
    with pytest.raises(
        InvalidArgumentError, match=r"`validation_freq` must be an integer >= 1 or a list of epochs\. Received"
    ):
        read_history({"loss": [3, 2, 1], "val_loss": [1]}, validation_freq=frequency)


@pytest.mark.parametrize("data", ["val", "valid", "validation", "eval", "test", "Val", "Evaluation"])
@pytest.mark.parametrize("form", ["{}_loss", "{}/loss", "loss/{}", "{} Loss", "{}-loss", "{}.loss", "{}Loss"])
def test_validation_is_paired_by_name(data, form):
    for training in ("loss", form.format("train"), form.format("Train")):
        columns = {form.format(data): [4, 3, 2], training: [3, 2, 1], "lr": [1, 1, 1]}
        check(read_history(columns), training, [0, 1, 2], [3, 2, 1], [4, 3, 2])


@pytest.mark.parametrize("names", [("train_losses", "val_losses"), ("trainloss", "valloss"), ("tr_loss", "dev_loss")])
def test_validation_is_paired_by_the_words_of_its_name(names):
    training, validation = names
    check(read_history({validation: [4, 3, 2], training: [3, 2, 1]}), training, [0, 1, 2], [3, 2, 1], [4, 3, 2])


@pytest.mark.parametrize(
    "names", [("train/loss", "eval/loss"), ("Training Loss", "Validation Loss"), ("loss", "val_loss")]
)
def test_the_words_name_the_series_as_the_file_does(names):
    training, validation = names
    fall = 2 * np.exp(-0.2 * np.arange(10))
    overfitted = np.concatenate([fall[:5], fall[4] + 0.2 * np.arange(1, 6)])
    for validated in (1.1 * fall, overfitted):
        found = analyze_history({training: fall, validation: validated})
        words = " ".join([*found.reasons, *(finding.evidence for finding in found.findings)])
        assert set(re.findall("`(.+?)`", words)) - {"untrained_loss", "optimizer", "learning_rate"} == set(names)


def test_of_several_losses_the_total_per_epoch_is_judged():
    parts = {
        "train/kl_loss": [9, 9, 9],
        "train/loss_step": [8, 8, 8],
        "train/total_loss": [3, 2, 1],
        "loss_scale": [7] * 3,
    }
    check(read_history({**parts, "eval/total_loss": [4, 3, 2]}), "train/total_loss", [0, 1, 2], [3, 2, 1], [4, 3, 2])
    check(
        read_history({"best_loss": [1] * 3, "train_mae": [3, 2, 1], "val_mae": [4, 3, 2]}),
        "train_mae",
        range(3),
        [3, 2, 1],
        [4, 3, 2],
    )


def test_a_summary_at_the_end_is_not_the_training_loss():
    log = [{"epoch": n, "eval_loss": 4 - n} for n in (1, 2, 3)]
    check(read_history([*log, {"epoch": 3, "train_loss": 5, "train_runtime": 1}]), "eval_loss", [1, 2, 3], [3, 2, 1])


def test_validation_comes_before_test():
    check(read_history({"loss": [3, 2], "test_loss": [9, 9], "eval_loss": [4, 3]}), "loss", [0, 1], [3, 2], [4, 3])


@pytest.mark.parametrize("val_loss", [[], [4, 3, 2, 1]])
def test_a_validation_series_without_values_or_with_too_many_is_refused(val_loss):
    with pytest.raises(CurveError, match=f"`val_loss` must have between 1 and 3 rows.*Received: {len(val_loss)}"):
        read_history({"loss": [3, 2, 1], "val_loss": val_loss})


def test_what_was_not_recognised_is_said():
    assert read_history({"loss": [3, 2, 1], "holdout_loss": [4, 3, 2]}).notes == (
        "No validation series was recognised among `holdout_loss`.",
    )
    assert read_history({"epoch": [0, 1, 2], "val_loss": [3, 2, 1]}).notes == (
        "No training series was recognised, so `val_loss` is judged instead.",
    )
    assert read_history({"loss": [3, 2, 1], "mae": [3, 2, 1], "learning_rate": [1, 1, 1]}).notes == ()


def test_a_metric_without_a_validation_twin_is_read():
    history = read_history({"loss": [3, 2, 1], "accuracy": [0.1, 0.5, 0.7], "other": [0.1, 0.2, 0.3]})
    np.testing.assert_array_equal(history.metric, [0.1, 0.5, 0.7])
    assert history.val_metric is None
    twinned = read_history(
        {"loss": [3, 2, 1], "accuracy": [0.1, 0.2, 0.3], "f1": [0.5, 0.6, 0.7], "val_f1": [0.4, 0.5, 0.6]}
    )
    np.testing.assert_array_equal(twinned.metric, [0.5, 0.6, 0.7])


def test_two_epochs_get_a_short_answer():
    diagnosis = analyze_history({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]})
    assert (diagnosis.verdict, diagnosis.reasons) == ("unclear", ("2 epochs are too few for a verdict. Train longer.",))
    assert analyze_history(diagnosis) == diagnosis


def test_epochs_that_are_fractions_are_shown_as_distinct_steps():
    check(
        read_history({"epoch": [0.5, 1.0, 1.5, 2.0], "loss": [4, 3, 2, 1]}), "loss", range(4), [4, 3, 2, 1], unit="step"
    )
    named = {"epoch": ["0.5/2", "1.0/2", "1.5/2", "2.0/2"], "loss": [4, 3, 2, 1]}
    check(read_history(named), "loss", range(4), [4, 3, 2, 1], unit="step")


def test_batches_that_start_over_in_each_epoch_are_counted_through():
    losses = list(range(9, 0, -1))
    columns = {"epoch": [0, 0, 0, 1, 1, 1, 2, 2, 2], "batch": [1, 2, 3] * 3, "loss": losses}
    check(read_history(columns), "loss", range(1, 10), losses, unit="step")
    check(read_history({"batch": [0, 1, 2] * 3, "loss": losses}), "loss", range(9), losses, unit="step")


def test_a_batch_size_is_no_counter():
    check(read_history({"batch": [32, 32, 32], "loss": [3, 2, 1]}), "loss", [0, 1, 2], [3, 2, 1])


def test_a_counter_may_be_missing_in_rows_without_the_loss():
    rows = "epoch,step,loss,val_loss\n0,9,3,\n,,,4\n1,19,2,\n,,,3\n2,29,1,\n"
    for text in (rows, rows.replace("1,19", ",19")):
        unit = {"epoch": [0, 1, 2], "step": [9, 19, 29]}["epoch" if text == rows else "step"]
        history = read_history(pd.read_csv(io.StringIO(text)))
        check(history, "loss", unit, [3, 2, 1], [4, 3, NAN], unit="epoch" if text == rows else "step")


def test_evaluations_between_two_rows_of_training_count_for_the_earlier_one():
    rows = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0}]
    evaluations = [{"step": step, "eval_loss": step / 10} for step in (5, 10, 12, 24, 27)]
    check(read_history([*evaluations[:1], *rows, *evaluations[1:]]), "loss", [10, 20], [3, 2], [1, 2.4], unit="step")


def test_runs_are_separated_where_only_the_epochs_start_over():
    columns = {"_step": range(8), "epoch": [0, 0, 0, 1, 0, 0, 0, 1], "loss": [8, 7, 6, 5, 9, 3, 2, 1]}
    check(read_history(columns), "loss", [4, 5, 6, 7], [9, 3, 2, 1], unit="step")
    check(read_history(columns, run=1), "loss", [0, 1, 2, 3], [8, 7, 6, 5], unit="step")


def test_a_run_that_goes_on_with_the_weights_of_the_one_before_is_read_with_it():
    columns = {
        "epoch": [0, 1, 2, 3, 0, 1, 2],
        "loss": [8, 4, 3, 2, 2.5, 1.5, 1],
        "val_loss": [8, 5, 4, 3, 3, 2, 2],
    }
    history = read_history(columns)
    check(history, "loss", range(7), columns["loss"], columns["val_loss"])
    assert "goes on from where it was" in history.notes[0]
    check(read_history(columns, run=2), "loss", [0, 1, 2], [2.5, 1.5, 1], [3, 2, 2])
    columns["loss"][4] = 5
    check(read_history(columns), "loss", [0, 1, 2], [5, 1.5, 1], [3, 2, 2])
    metric = {"epoch": [1, 2, 3, 1, 2], "accuracy": [0.1, 0.5, 0.9, 0.85, 0.95]}
    check(read_history(metric), "accuracy", range(1, 6), metric["accuracy"])


CARD = """# a-model

This model reached:
- Loss: 0.5

- learning_rate: 5e-05
- optimizer: Use adamw_torch with betas=(0.9,0.999)

| Metric | Value |
|---|---|
| Loss | 0.5 |

| Training Loss | Epoch | Step | Validation Loss | Accuracy |
|:-------------:|:-----:|:----:|:---------------:|:--------:|
| No log        | 1.0   | 10   | 1.25            | 0.4      |
| 1.5           | 2.0   | 20   | 1.0             | 0.5      |
| 1.5           | 3.0   | 30   | 0.75            | 0.6      |
| 0.5           | 4.0   | 40   | 0.5             | 0.7      |

- Transformers 4.13.0
"""


def test_a_model_card_is_read_with_its_settings(read):
    history = read("README.md", CARD)
    check(history, "Training Loss", [2, 4], [1.5, 0.5], [1.0, 0.5], rates=[5e-5, 5e-5])
    assert history.known == {"optimizer": "adamw"}
    # Its accuracy is that of validation data.
    assert history.accuracy is None
    assert history.metric is None
    german = CARD.replace(".", ",")
    check(read("LIESMICH.md", german), "Training Loss", [2, 4], [1.5, 0.5], [1.0, 0.5])
    with pytest.raises(CurveError, match="with 2, such as table 1"):
        read("README.md", CARD + CARD)


ROWS = [{"epoch": 1, "train": {"loss": 3}, "val": {"loss": 4}}, {"epoch": 2, "train": {"loss": 1}, "val": {"loss": 2}}]


@pytest.mark.parametrize(
    ("name", "content", "epochs", "val_values"),
    [
        ("run.json", {"model": "cnn", "results": {"loss": [3, 1], "val_loss": [4, 2]}}, [0, 1], [4, 2]),
        ("run.json", {"config": {"lr": 0.1}, "epochs": ROWS}, [1, 2], [4, 2]),
        ("run.json", {"train": [{"loss": 3}, {"loss": 1}]}, [0, 1], None),
        ("log.txt", "loss:[3.0, 1.0]\nval_loss:[4.0, 2.0]\n", [0, 1], [4, 2]),
        ("log.txt", "done\ntrain_losses = [3, 1]\nval_losses = [4, 2]\nsizes = ['s', 'm']\n", [0, 1], [4, 2]),
        (
            "history.csv",
            '"epoch","value","metric","data"\n1,3,"loss","training"\n1,4,"loss","validation"\n'
            '2,1,"loss","training"\n2,2,"loss","validation"\n',
            [1, 2],
            [4, 2],
        ),
    ],
    ids=["under another name", "nested rows", "rows of training", "lists in text", "assignments", "a frame of R"],
)
def test_a_history_is_found_inside_of_what_was_saved(read, name, content, epochs, val_values):
    history = read(name, content)
    np.testing.assert_array_equal(history.epochs, epochs)
    np.testing.assert_array_equal(history.values, [3, 1])
    assert (history.val_values is None) == (val_values is None)
    if val_values is not None:
        np.testing.assert_array_equal(history.val_values, val_values)


def test_losses_of_things_are_no_history(read):
    rows = "".join(
        f"{name},{loss}\n" for name, loss in zip(("mlp", "cnn", "gru", "vit", "unet"), range(5), strict=True)
    )
    with pytest.raises(CurveError, match="one row per run or thing"):
        read("models.csv", f"model,loss\n{rows}")


def test_rows_of_several_steps_per_epoch_are_steps():
    history = read_history(
        {"epoch": [0, 0, 1, 1, 2, 2], "loss": [6, 5, 4, 3, 2, 1], "val_loss": [None, 7, None, 5, None, 3]}
    )
    check(history, "loss", range(6), [6, 5, 4, 3, 2, 1], [NAN, 7, NAN, 5, NAN, 3], unit="step")


def test_rows_with_the_newest_first_are_turned_around():
    check(
        read_history({"epoch": [3, 2, 1], "loss": [1, 2, 3], "val_loss": [4, 5, 6]}),
        "loss",
        [1, 2, 3],
        [3, 2, 1],
        [6, 5, 4],
    )


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(sorted(range(12), key=str), id="as text"),
        pytest.param([7, 10, 5, 11, 9, 8, 6, 3, 4, 2, 1, 0], id="best first"),
        pytest.param([0, 1, 3, 2, 4, 5, 6, 7, 8, 9, 10, 11], id="nearly in order"),
    ],
)
def test_a_table_that_was_sorted_by_something_else_is_read_in_the_order_of_its_epochs(order):
    rows = [{"epoch": epoch, "loss": 20 - epoch, "val_loss": 30 - epoch, "lr": 0.1 * (epoch + 1)} for epoch in order]
    epochs = np.arange(12)
    expected = ("loss", epochs, 20 - epochs, 30 - epochs)
    check(read_history(rows), *expected, rates=0.1 * (epochs + 1))
    apart = [{**row, name: None} for row in rows for name in ("loss", "val_loss")]
    check(read_history(apart), *expected)


def test_a_shorter_run_after_one_that_began_later_stays_another_run():
    history = read_history({"epoch": [3, 4, 5, 0, 1, 2], "loss": [6, 5, 4, 9, 8, 7]})
    check(history, "loss", [0, 1, 2], [9, 8, 7])
    assert "holds 2 runs" in history.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "must be JSON text"),
        ("run.json", "[1, 2]", "JSON object of columns"),
        ("run.json", '{"loss": "mse"}', "`loss` must hold numbers"),
        ("run.ipynb", '{"nbformat": 4, "cells": 3}', "must show the epochs"),
        ("log.txt", "Epoch 1/3\nloading data\n", "shows no finished epoch"),
        ("notes.txt", "The loss fell nicely.\nThen it rose.\n", "CSV file with a header|`loss` column"),
        ("state.json", '{"log_history": [{"eval_runtime": 1.0}, {"eval_runtime": 1.0}]}', "must have a `loss` column"),
        ("train.log", "0: learn: 2.5\n1: learn: 1.5\n", "must be a table with a header"),
        ("kernel.log", '[{"stream_name": "stdout", "data": "hello"}]', "shows no finished epoch"),
    ],
)
def test_malformed_files_are_refused_by_name(read, name, content, message):
    with pytest.raises(CurveError, match=message):
        read(name, content)
