"""Transfer what a model has learned to new classes: `python examples/transfer_learning.py`."""

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr


def make_model(stem):
    """The stem, with a new head for five classes."""
    head = keras.layers.Dense(5, name="head")
    return keras.Sequential([keras.Input((64,)), stem, head])


def compile_model(model, optimizer):
    """Compiles with the loss and metric that all models here share."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])


def main():
    """Learns the digits 0 to 4, then 5 to 9 from 100 images, with one rate for all parts and with one rate per part."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    old, new = labels < 5, labels >= 5

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(64, activation="relu")]
    stem = keras.Sequential(layers, name="stem")
    first = make_model(stem)
    compile_model(first, keras.optimizers.Adam(3e-3))
    first.fit(images[old], labels[old], epochs=20, verbose=0)
    learned = stem.get_weights()

    x, x_test, y, y_test = train_test_split(
        images[new], labels[new] - 5, train_size=100, random_state=0, stratify=labels[new]
    )
    for name, factors in {"one rate": {"head": 1.0}, "slow stem": {"stem": 0.1, "head": 1.0}}.items():
        keras.utils.set_random_seed(1)
        stem.set_weights(learned)
        model = make_model(stem)
        compile_model(model, keras_lr.discriminative(model, factors, optimizer=keras.optimizers.Adam()))
        advice = keras_lr.find_lr(model, x, y, batch_size=20, num_steps=100, repeats=3).suggestion
        rate = advice.learning_rate or 1e-3
        # The range test raised the rates of all parts together, so the suggestion is the rate before their factors.
        optimizer = keras_lr.discriminative(model, factors, optimizer=keras.optimizers.Adam(rate))
        compile_model(model, optimizer)
        model.fit(x, y, batch_size=20, epochs=30, verbose=0)
        accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
        print(f"{name}: learning rate {rate:.2g}, {accuracy:.1%} of the new digits recognised")


if __name__ == "__main__":
    main()
