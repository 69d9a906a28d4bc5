"""How the best learning rate grows with the batch size: `python examples/batch_size_vs_learning_rate.py`."""

import argparse
import tempfile

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr
from keras_lr.analysis import analyze_sensitivity
from keras_lr.plots import plot_heatmap


def build():
    """A compiled classifier; the search sets the learning rate."""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(), loss, metrics=["accuracy"])
    return model


def main():
    """Searches batch sizes and rates, prints the best rate per batch size, and writes `batch_size.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", default="batch_size.png", help="the picture to write")
    options = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(images / 16, labels, random_state=0, stratify=labels)

    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_lr.LogGridSearch(
            build, min_lr=1e-2, max_lr=10.0, points_per_decade=2, batch_sizes=[16, 64, 256], directory=directory
        )
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=10, verbose=0)
        result = tuner.sensitivity()

    for batch_size, part in result.frame.groupby("batch_size"):
        best = analyze_sensitivity(part)
        print(
            f"batch size {batch_size}: learning rate {best.best_learning_rate:.2g}, {best.low:.2g} to {best.high:.2g}"
        )
    print(f"overall: {result.reason}")
    plot_heatmap(result).figure.savefig(options.picture)


if __name__ == "__main__":
    main()
