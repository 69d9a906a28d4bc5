"""Train over a log grid of learning rates and plot the U-curve: `python examples/grid_search.py`."""

import argparse
import tempfile

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr


def build():
    """A compiled classifier; the search sets the learning rate."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def main():
    """Searches, prints the best rates, and writes `grid_search.html` and `grid_search.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", default="grid_search.html", help="the page to write")
    parser.add_argument("--picture", default="grid_search.png", help="the picture to write")
    options = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(images / 16, labels, random_state=0, stratify=labels)

    with tempfile.TemporaryDirectory() as directory:  # in a permanent directory, the same call resumes the search
        tuner = keras_lr.LogGridSearch(build, min_lr=1e-5, max_lr=1.0, points_per_decade=2, directory=directory)
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=10, batch_size=32, verbose=0)
        result = tuner.sensitivity()

    print(f"{result.confidence}: {result.reason}")
    print(f"learning rate {result.best_learning_rate:.2g}, equally good from {result.low:.2g} to {result.high:.2g}")
    print(f"trained by: {result.engine}")
    print("with fewer epochs:")
    for row in result.best_by_epochs().itertuples():
        print(f"  {row.epochs:3d} epochs: {row.best_learning_rate:.2g}, from {row.low:.2g} to {row.high:.2g}")

    result.plot().figure.savefig(options.picture)
    keras_lr.Report("Handwritten digits").add(result).save(options.report)


if __name__ == "__main__":
    main()
