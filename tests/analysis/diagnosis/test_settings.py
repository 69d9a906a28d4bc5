"""The optimizer and the learning rate in the code beside a printed history."""

import json

import pytest

import keras_lr
from keras_lr.analysis._diagnosis.printed import written_settings
from keras_lr.analysis._diagnosis.readers import read_history

FIT = "".join(
    f"Epoch {epoch}/6\n4/4 [==============================] - 0s 3ms/step - loss: {loss} - accuracy: 0.5\n"
    for epoch, loss in enumerate((0.9, 0.8, 0.7, 0.65, 0.6, 0.58), 1)
)
DEAD = "".join(
    f"Epoch {epoch}/3\n4/4 [==============================] - 0s 3ms/step - loss: nan - accuracy: 0.01\n"
    for epoch in (1, 2, 3)
)


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("model.compile(optimizer='adam', loss='mse')", ("adam", "0.001")),
        ('model.compile("sgd", "mse")', ("sgd", "0.01")),
        ("model.compile(loss='mse', optimizer=keras.optimizers.Adam())", ("adam", "0.001")),
        ("opt = tf.keras.optimizers.RMSprop(1e-4)  # not SGD(0.1)", ("rmsprop", "1e-4")),
        ("opt = SGD(lr=0.1, decay=1e-6, momentum=0.9, nesterov=True)", ("momentum", "0.1")),
        ("opt = SGD(learning_rate=.5, momentum=0.0)", ("sgd", ".5")),
        ("LR = 3e-4\nopt = Adam(learning_rate=LR, clipnorm=1.)", ("adam", "3e-4")),
        ('model %>% compile(loss = "mse", optimizer = optimizer_rmsprop(lr = 2e-5))', ("rmsprop", "2e-5")),
        ('model %>% compile(optimizer = "rmsprop")', ("rmsprop", "0.001")),
        ("a.compile('adam')\nb.compile(optimizer='adam')", ("adam", "0.001")),
    ],
)
def test_the_settings_of_every_model(code, settings):
    assert written_settings(code) == dict(zip(("optimizer", "learning_rate"), settings, strict=True))


@pytest.mark.parametrize(
    "code",
    [
        "from keras.optimizers import Adam, SGD",
        "a.compile('adam')\nb.compile(optimizer=SGD(0.1))",
        "opt = torch.optim.Adam(model.parameters())",
        "opt = Adam(rate_of(model))",
        "opt = Adam(lr=base)",
        "LR = 0.1\nLR = 0.2\nopt = Adam(LR)",
        "opt = Adam(0.1)\nfit(callbacks=[ReduceLROnPlateau()])",
        "opt = Adam(CosineDecay(0.1, 100))",
        "opt = Adam(0.0)",
        "adam(0.1)",
    ],
)
def test_what_names_no_constant_rate_or_several(code):
    assert written_settings(code) == {}


def notebook(tmp_path, source, printed=FIT):
    path = tmp_path / "run.ipynb"
    outputs = [{"output_type": "stream", "name": "stdout", "text": [printed]}]
    cells = [
        {"cell_type": "markdown", "source": ["Later we try SGD(0.5)."]},
        {"cell_type": "code", "source": source, "outputs": []},
        {"cell_type": "code", "source": "model.fit(x, y, epochs=6)", "outputs": outputs},
    ]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    return path


def test_a_notebook_is_read_with_the_settings_in_its_code(tmp_path):
    history = read_history(notebook(tmp_path, ["model = build()\n", "model.compile(optimizer='adam')"]))
    assert history.known == {"optimizer": "adam"}
    assert set(history.learning_rates) == {0.001}
    unknown = read_history(notebook(tmp_path, ["model = build(load())"]))
    assert unknown.known == {}
    assert unknown.learning_rates is None


def test_a_printed_rate_counts_more_than_that_of_the_code(tmp_path):
    printed = FIT.replace("accuracy: 0.5", "lr: 0.0200")
    history = read_history(notebook(tmp_path, "model.compile(optimizer='adam')", printed))
    assert set(history.learning_rates) == {0.02}
    assert history.known == {}


def test_a_low_rate_is_not_blamed_for_a_loss_that_was_never_a_number(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"```python\nmodel.compile(optimizer='adam', loss='mse')\n```\n\n```\n{DEAD}```\n")
    assert keras_lr.analyze_history(path).verdict == "not_the_rate"
    path.write_text(f"```\n{DEAD}```\n")
    assert keras_lr.analyze_history(path).verdict == "too_high"
