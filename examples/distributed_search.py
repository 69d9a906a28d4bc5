"""The same search by two processes of this machine: `python examples/distributed_search.py`.

From a shell: `keras-lr search distributed_search.py:build --data distributed_search.py:train_data ... --workers 2`.
On a cluster, start that command without `--workers` on each machine, over a shared folder, with KerasTuner's
variables: KERASTUNER_TUNER_ID=chief on one and a name of its own on each other, KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT of the chief on all. One worker a GPU: set CUDA_VISIBLE_DEVICES for each; `--workers` does so
by itself.
"""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_lr.cli import main as keras_lr_command


def build():
    """A compiled classifier; the search sets the learning rate."""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def split():
    """Handwritten digits, three quarters of them to train on."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split((images / 16).astype("float32"), labels, random_state=0, stratify=labels)


def train_data():
    """What `--data` names."""
    x, _, y, _ = split()
    return x, y


def validation_data():
    """What `--validation-data` names."""
    _, x, _, y = split()
    return x, y


def main():
    """Starts a chief and two workers, and prints what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default="runs", help="where the records are kept; a second run trains nothing")
    options = parser.parse_args()
    data = ["--data", f"{__file__}:train_data", "--validation-data", f"{__file__}:validation_data"]
    grid = ["--min-lr", "1e-5", "--max-lr", "0.1", "--repeats", "3", "--epochs", "10", "--no-extend"]
    place = ["--directory", options.directory, "--project", "digits", "--json", "distributed_search.json"]
    raise SystemExit(keras_lr_command(["search", f"{__file__}:build", *data, *grid, *place, "--workers", "2"]))


if __name__ == "__main__":
    main()
