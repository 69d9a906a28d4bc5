"""Find a learning rate for handwritten digits, report it, and train with it: `python examples/range_test.py`."""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr


def build(learning_rate=1e-3):
    """A compiled classifier; its learning rate does not matter to the range test."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model


def main():
    """Runs a range test, trains with the suggested rate, and writes `range_test.html`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", default="range_test.html", help="the page to write")
    options = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16, labels, random_state=0, stratify=labels)

    keras.utils.set_random_seed(0)
    finder = keras_lr.LRRangeTest(num_steps=200, repeats=3)
    build().fit(x, y, batch_size=32, verbose=0, callbacks=[finder])
    advice = finder.result.suggestion
    print(f"{advice.confidence}: {advice.reason}")
    if advice.learning_rate is None:
        raise SystemExit("No usable learning rate was found.")
    print(f"learning rate {advice.learning_rate:.2g}, usable from {advice.low:.2g} to {advice.high:.2g}")

    model = build(advice.learning_rate)
    model.fit(x, y, batch_size=32, epochs=10, verbose=0)
    accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
    print(f"{accuracy:.1%} of the test images recognised after 10 epochs")

    keras_lr.Report("Handwritten digits").add(finder.result).save(options.report)


if __name__ == "__main__":
    main()
