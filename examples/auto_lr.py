"""Train from a learning rate that is far too low, without AutoLR and with it: `python examples/auto_lr.py`."""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr


def build(learning_rate):
    """A compiled classifier with the same weights at every call."""
    keras.utils.set_random_seed(0)
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
    """Trains twice, prints what AutoLR changed and why, and writes `auto_lr.html`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=float, default=1e-6, help="the learning rate to compile with (%(default)g)")
    parser.add_argument("--report", default="auto_lr.html", help="the page to write")
    options = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16, labels, random_state=0, stratify=labels)

    auto = keras_lr.AutoLR()
    for name, callbacks in (("without AutoLR", []), ("with AutoLR", [auto])):
        model = build(options.start)
        model.fit(x, y, batch_size=32, epochs=10, validation_split=0.2, verbose=0, callbacks=callbacks)
        accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
        print(f"{name}: {accuracy:.1%} of the test images recognised")

    for action in auto.log.actions:
        change = f"{action.learning_rate_before:.2g} to {action.learning_rate_after:.2g}"
        print(f"epoch {action.epoch}, {action.kind}, {change}: {action.reason}")

    keras_lr.Report("Handwritten digits from a bad learning rate").add(auto.log).save(options.report)


if __name__ == "__main__":
    main()
