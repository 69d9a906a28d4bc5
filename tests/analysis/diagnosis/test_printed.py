"""What training loops print, in the forms of well-known libraries, with the numbers that must be read from it."""

import json

import numpy as np
import pytest

from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.errors import CurveError

NAN = np.nan
LOSS, VALIDATION = (2.5, 1.5, 1.25), (2.75, 1.75, 1.5)
BAR = "━" * 20


def each(form, **more):
    """The form filled in for each of three epochs, `{n}` from 0, `{i}` from 1, and 2000 steps per epoch."""
    epochs = zip(LOSS, VALIDATION, strict=True)
    return "".join(form.format(n=n, i=n + 1, a=a, b=b, s=n * 2000, **more) for n, (a, b) in enumerate(epochs))


# By what prints them: the text, the judged series, its first count, and the distance of two counts.
BY_EPOCH = {
    "a loop": ("start\n" + each("Epoch {i}, Train Loss: {a}, Val Loss: {b}, Time: 3.5s\n"), "Train Loss", 1),
    "a loop with pipes": (each("Epoch: {i:02} | train_loss: {a:.3f} | val_loss: {b:.3f} | lr: 0.1\n"), "train_loss", 1),
    "a loop with words": (each("Finished epoch {i} of 3 with loss {a} and validation loss {b}.\n"), "loss", 1),
    "a loop with a percentage": (
        each("Epoch {i}/3: loss = {a}, accuracy = 91.2%, val_loss = {b}, val_accuracy = 90%\n"),
        "loss",
        1,
    ),
    "tensors": (each("epoch {i} loss: tensor({a}, grad_fn=<X>) val_loss: [{b}]\n"), "loss", 1),
    "a logger": (each("2026-03-0{i} 10:12:4{n},123 - root - INFO - Epoch {i} - loss={a} - val_loss={b}\n"), "loss", 1),
    "loguru": (each("2026-03-01 10:12:4{n}.123 | INFO | train:run:42 - Epoch {i} loss={a} val_loss={b}\n"), "loss", 1),
    "a logger of dicts": (each("INFO:root:{{'epoch': {i}, 'loss': '{a}', 'val_loss': '{b}'}}\n"), "loss", 1),
    "steps and a summary": (
        each("Epoch [{i}/3], Step [100/200], Loss: 9.5\nEpoch [{i}/3] Average Loss: {a}, Validation Loss: {b}\n"),
        "Average Loss",
        1,
    ),
    "a title per epoch": (
        each("Epoch {n}/2\n----------\ntrain Loss: {a} Acc: 0.4\nval Loss: {b} Acc: 0.3\n\n")
        + "Training complete in 0m 5s\nBest val Acc: 0.300000\n",
        "train Loss",
        0,
    ),
    "a title per part": (
        each("Epoch {i}\nTraining:\n  loss 9.9 at step 5\n  loss: {a}\nValidation:\n  loss: {b}\n\n"),
        "loss",
        1,
    ),
    "fairseq": (
        each(
            "| epoch 00{i}:   1000 / 2737 loss=9.220, ppl=33.60, num_updates={n}897, lr=0.0002, wall=4847\n"
            "| epoch 00{i} | loss {a} | ppl 36.5 | num_updates {i}2000 | lr 0.0002 | wall 434\n"
            "| epoch 00{i} | valid on 'valid' subset | loss {b} | ppl 37.6 | num_updates {i}2000 | best_loss 6.4\n"
        ),
        "loss",
        1,
    ),
    "Lightning": (
        each(
            "Epoch {n}:  50%|█████     | 1/2 [00:01<00:01,  1.0it/s, v_num=3, train_loss=9.0]\r"
            "Epoch {n}: 100%|██████████| 2/2 [00:02<00:00,  1.0it/s, v_num=3, train_loss=8.0]\r"
            "Epoch {n}: 100%|██████████| 2/2 [00:02<00:00,  1.0it/s, v_num=3, train_loss={a}, val_loss={b}]\n"
        ),
        "train_loss",
        0,
    ),
    "bars without an epoch": (
        each(
            "Training:  50%|#####     | 1/2 [00:01<00:01, loss=9]\rTraining: 100%|##########| 2/2 [00:02, loss={a}]\n"
        ),
        "loss",
        0,
        None,
    ),
    "Informer": (
        each(
            "\titers: 100, epoch: {i} | loss: 9.5\n"
            "Epoch: {i}, Steps: 263 | Train Loss: {a} Vali Loss: {b} Test Loss: 9\n"
        ),
        "Train Loss",
        1,
    ),
    "Keras without its titles": (
        each(f"100/100 {BAR} 1s 3ms/step - acc: 0.5 - loss: {{a}} - val_loss: {{b}}\n"),
        "loss",
        0,
    ),
    "Keras in one line": (each("Epoch {i}/3 60/60 [=======] - 8s 139us/step - loss: {a} - val_loss: {b}\n"), "loss", 1),
    "Keras on several workers": (
        each(
            "[1,0]<stdout>:Epoch {i}/3\n[1,1]<stdout>:Epoch {i}/3\n"
            "[1,0]<stdout>:9/9 - 1s - loss: {a} - val_loss: {b}\n[1,1]<stdout>:9/9 - 1s - loss: 7.0 - val_loss: 7.5\n"
        ),
        "loss",
        1,
    ),
    "Ray": (
        each("(train pid=71) Epoch {i} loss: {a} val_loss: {b}\n(train pid=72) Epoch {i} loss: 9 val_loss: 9\n"),
        "loss",
        1,
    ),
    "ranks": (each("[rank0]: epoch {i} loss {a} val loss {b}\n[rank1]: epoch {i} loss 7 val loss 7\n"), "loss", 1),
    "a history printed as a dict": (
        "done in 3 s\n{'loss': [2.5, 1.5, 1.25], 'val_loss': [2.75, 1.75, 1.5]}\n",
        "loss",
        0,
    ),
    "a table of skorch": (
        "  epoch    train_loss    valid_loss     dur\n-------  ------------  ------------  ------\n"
        + each("      {i}        \x1b[36m{a}\x1b[0m        {b}  0.0{i}\n"),
        "train_loss",
        1,
    ),
    "a table of fastai": (
        "epoch     train_loss  valid_loss  time    \n" + each("{n}         {a}    {b}    00:0{n}     \n"),
        "train_loss",
        0,
    ),
    "MMDetection": (
        each(
            "2026-05-08 18:56:16,649 - mmdet - INFO - Epoch [{i}][2000/2000]\tlr: 0.1, eta: 1 day, 4:33:09, "
            "time: 0.595, memory: 6836, loss_cls: 0.19, acc: 93.4, loss: {a}\n"
        ),
        "loss",
        1,
        None,
    ),
    "PyTorch's examples": (
        each(
            "Train Epoch: {i} [2000/2000 (100%)]\tLoss: {a}\n\nTest set: Average loss: {b}, Accuracy: 90/100 (90%)\n\n"
        ),
        "Loss",
        1,
    ),
    "PyTorch's ImageNet example": (
        each("Epoch: [{n}][2000/2000]\tTime  0.3 ( 0.9)\tLoss {a:.4e} (6.9e+00)\tAcc@1   0.39 (  0.10)\n"),
        "Loss",
        0,
        None,
    ),
    "PyTorch's quickstart": (
        each("Epoch {i}\n----------\nloss: {a}  [ 2000/ 2000]\nTest Error: \n Accuracy: 44.4%, Avg loss: {b} \n\n"),
        "loss",
        1,
    ),
    "PyTorch's first tutorial": (each("[{i},  2000] loss: {a}\n"), "loss", 1, None),
    "TensorFlow's loop": (
        each("\nStart of epoch {n}\nTraining loss (for one batch) at step 2000: {a}\nSeen so far: 64 samples\n"),
        "Training loss (for one batch)",
        0,
        None,
    ),
    "PyTorch's later tutorial": (
        each("EPOCH {i}:\n  batch 1000 loss: 9.5\n  batch 2000 loss: 9.25\nLOSS train {a} valid {b}\n"),
        "train loss",
        1,
    ),
    "timm": (
        each("Train: {n} [2000/2001 (100%)]  Loss: {a} (9.5)  Time: 0.5s, 200.10/s  LR: 1.0e-01  Data: 0.1\n"),
        "Loss",
        0,
        None,
    ),
}
BY_STEP = {
    "one bar": (
        each("Epochs:  {i}0%|#         | {i}/9 [00:0{i}<01:00,  1.04s/it, loss={a}, val_loss={b}]\r"),
        "loss",
        1,
    ),
    "XGBoost": (each("[{s}]\ttrain-logloss:{a}\teval-logloss:{b}\n"), "train-logloss", 0),
    "XGBoost's scikit-learn": (each("[{s}]\tvalidation_0-rmse:{a}\tvalidation_1-rmse:{b}\n"), "train-rmse", 0),
    "XGBoost with time": (each("[10:11:1{n}] [{s}]\ttrain-rmse:{a}\teval-rmse:{b}\n"), "train-rmse", 0),
    "LightGBM": (
        "[LightGBM] [Info] Number of positive: 212, number of negative: 357\nTraining until validation scores\n"
        + each("[{s}]\ttraining's l2: {a}\tvalid_1's l2: {b}\n"),
        "training l2",
        0,
    ),
    "nanoGPT": (
        each("step {s}: train loss 9.9, val loss {b}\nsaving to out\niter {s}: loss {a}, time 20.04ms, mfu 12.00%\n"),
        "loss",
        0,
    ),
    "Detectron2": (
        each(
            "[05/08 10:48:1{n} d2.utils.events]:  eta: 0:22:36  iter: {s}  total_loss: {a}  loss_cls: 0.07  lr: 0.1\n"
        ),
        "total_loss",
        0,
        None,
    ),
    "Detectron": (each('json_stats: {{"eta": "1:02:03", "iter": {s}, "loss": {a}, "lr": 0.1}}\n'), "loss", 0, None),
    "Darknet": (
        each("Loaded: 0.00 seconds\n {s}: 9.66, {a} avg loss, 0.1 rate, 3.31 seconds, 61248 images\n"),
        "avg loss",
        0,
        None,
    ),
    "Megatron": (
        each(
            " iteration     {s}/    9000 | elapsed time per iteration (ms): 500.1 | learning rate: 1.0E-01 | "
            "global batch size:    16 | lm loss: {a:.6E} | loss scale: 1.0 |\n"
        ),
        "lm loss",
        0,
        None,
    ),
    "scikit-learn": (each("Iteration {s}, loss = {a}\n"), "loss", 0, None),
    "MLX": (
        each("Iter {s}: Val loss {b}, Val took 3.1s\nIter {s}: Train loss {a}, Learning Rate 1.000e-01, It/sec 2.1\n"),
        "Train loss",
        0,
    ),
    "BigDL": (each("[Iteration {s}] Throughput is 408.4 records/second. Loss is {a}. Used 3 s.\n"), "Loss", 0, None),
    "a course's loop": (
        each("Average loss at step {s}: {a} learning rate: 0.1\nMinibatch perplexity: 9\nValidation set loss: {b}\n"),
        "Average loss",
        0,
    ),
    "a loop with its settings before it": (
        "INFO - learning_rate: 0.1\nINFO - batch_size: 32\n" + each("step {s} loss {a}\n"),
        "loss",
        0,
        None,
    ),
}


@pytest.fixture
def read(tmp_path):
    """Reads a text as a log file."""

    def read_as(text, name="train.log"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_history(tmp_path / name)

    return read_as


def check(history, monitor, counts, unit, validated):
    assert (history.monitor, history.unit) == (monitor, unit)
    np.testing.assert_array_equal(history.epochs, counts)
    np.testing.assert_allclose(history.values, LOSS, rtol=1e-6)
    assert (history.val_values is not None) == validated
    if validated:
        np.testing.assert_allclose(history.val_values, VALIDATION, rtol=1e-6)


@pytest.mark.parametrize("printer", BY_EPOCH)
def test_lines_per_epoch_are_read_as_printed(read, printer):
    text, monitor, first, *without = BY_EPOCH[printer]
    history = read(text)
    check(history, monitor, range(first, first + 3), "epoch", not without)
    if "lr: 0.1" in text:
        assert history.learning_rate == pytest.approx(0.1)


@pytest.mark.parametrize("printer", BY_STEP)
def test_lines_per_step_are_read_as_printed(read, printer):
    text, monitor, first, *without = BY_STEP[printer]
    history = read(text)
    distance = 1 if printer == "one bar" else 2000
    check(history, monitor, range(first, first + 3 * distance, distance), "step", not without)
    if "lr: 0.1" in text or "rate" in text.lower():
        assert history.learning_rate == pytest.approx(0.1)


def test_several_steps_per_epoch_are_counted_through_with_the_validation_after_them(read):
    epoch = (
        "Train Epoch: {n} [0/60000 (0%)]\tLoss: {a}\nTrain Epoch: {n} [64/60000 (1%)]\tLoss: {b}\nTest set: loss: {c}\n"
    )
    history = read(epoch.format(n=1, a=9, b=8, c=7.5) + epoch.format(n=2, a=7, b=6, c=5.5))
    assert history.unit == "step"
    np.testing.assert_array_equal(history.values, [9, 8, 7, 6])
    np.testing.assert_array_equal(history.val_values, [NAN, 7.5, NAN, 5.5])


def test_the_cells_of_a_notebook_and_a_log_of_kaggle_may_show_lines(read):
    text = each("Epoch {i}, loss: {a}, val_loss: {b}\n")
    cells = [{"cell_type": "code", "outputs": [{"output_type": "stream", "text": text.splitlines(keepends=True)}]}]
    check(read(json.dumps({"nbformat": 4, "cells": cells}), "run.ipynb"), "loss", [1, 2, 3], "epoch", validated=True)
    lines = [{"stream_name": "stdout", "time": 1.0, "data": line} for line in text.splitlines(keepends=True)]
    check(read(json.dumps(lines)), "loss", [1, 2, 3], "epoch", validated=True)


def test_a_loss_that_is_not_finite_is_read_in_lines(read):
    history = read("Epoch 1 loss: 2.5\nEpoch 2 loss: nan\nEpoch 3 loss: -nan\n")
    np.testing.assert_array_equal(history.values, [2.5, NAN, NAN])


def test_what_only_mentions_losses_is_no_history(read):
    text = (
        "epochs: 10\nbatch_size=32, lr=0.01\nEpoch 1: val_loss improved from 0.5 to 0.4, saving model\n"
        "Epoch 2: val_loss did not improve from 0.4\nBest val_loss: 0.4\nloss_scale: 1024\nloss_scale: 2048\n"
    )
    with pytest.raises(CurveError):
        read(text)


def test_accuracy_that_is_printed_in_words_goes_with_its_data(read):
    text = each("Epoch {i} train loss {a} acc: 0.{i}0 | val loss {b} acc: 0.{i}5\n")
    history = read(text)
    np.testing.assert_allclose(history.metric, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(history.val_metric, [0.15, 0.25, 0.35])


@pytest.mark.parametrize(
    ("lines", "losses"),
    [
        ("Epoch 1 - loss: 2,5 - val_loss: 2,75\nEpoch 2 - loss: 1,5 - val_loss: 1,75\n", (2.5, 1.5)),
        ("Epoch 1 loss=1,250.5 val_loss=2.75\nEpoch 2 loss=950.25 val_loss=1.75\n", (1250.5, 950.25)),
        ("Epoch 1 loss=1.250,5 val_loss=2,75\nEpoch 2 loss=950,25 val_loss=1,75\n", (1250.5, 950.25)),
        ("Epoch 1,loss: 2.5,val_loss: 2.75\nEpoch 2,loss: 1.5,val_loss: 1.75\n", (2.5, 1.5)),
    ],
    ids=["decimal commas", "thousands", "points between thousands", "separating commas"],
)
def test_commas_in_printed_numbers_are_read_as_they_are_meant(tmp_path, lines, losses):
    (tmp_path / "run.log").write_text(lines)
    history = read_history(tmp_path / "run.log")
    np.testing.assert_allclose(history.values, losses)
    np.testing.assert_allclose(history.val_values, [2.75, 1.75])
