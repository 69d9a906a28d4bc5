"""Search with two processes on this machine: `python examples/distributed_search.py`.

From a shell: `keras-lr search distributed_search.py:build --data distributed_search.py:train_data ... --workers 2`.
On a Dask cluster, pass `--cluster tcp://HOST:8786` instead: the workers need keras_lr, but not this file.
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
    """Handwritten digits, of which three quarters are for training."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split((images / 16).astype("float32"), labels, random_state=0, stratify=labels)


def train_data():
    """The data for `--data`."""
    x, _, y, _ = split()
    return x, y


def validation_data():
    """The data for `--validation-data`."""
    _, x, _, y = split()
    return x, y


def main():
    """Starts two workers, trains the grid in them, and prints the best rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default="runs", help="directory of the records; a second run trains nothing")
    options = parser.parse_args()
    data = ["--data", f"{__file__}:train_data", "--validation-data", f"{__file__}:validation_data"]
    grid = ["--min-lr", "1e-5", "--max-lr", "0.1", "--repeats", "3", "--epochs", "10", "--no-extend"]
    place = ["--directory", options.directory, "--project", "digits", "--json", "distributed_search.json"]
    raise SystemExit(keras_lr_command(["search", f"{__file__}:build", *data, *grid, *place, "--workers", "2"]))


if __name__ == "__main__":
    main()
