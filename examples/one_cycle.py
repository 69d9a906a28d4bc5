"""Run a range test, make a one-cycle schedule from it, and train with inverse momentum: `python examples/one_cycle.py`.

Trains a small network on scikit-learn's digits, offline and in well under a minute.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr

EPOCHS, BATCH_SIZE = 8, 32


def build(learning_rate=0.01):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate, momentum=0.9), loss, metrics=["accuracy"])
    return model


def main():
    """Runs a range test, makes a schedule, and trains with a constant rate and with the schedule."""
    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16, labels, random_state=0, stratify=labels)

    result = keras_lr.find_lr(build(), x, y, batch_size=BATCH_SIZE, num_steps=150, verbose=False)
    print(f"suggested learning rate {result.suggestion.learning_rate:.2g}: {result.suggestion.reason}")

    total_steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    schedule = keras_lr.schedules.from_suggestion(result, "one_cycle", total_steps=total_steps)
    print(keras_lr.schedules.preview(schedule, total_steps).to_frame().iloc[:: total_steps // 6].to_string(index=False))

    for name, rate, extra in [("constant", 0.01, []), ("one-cycle", schedule, [keras_lr.MomentumCycle()])]:
        model = build(rate)
        callbacks = [keras_lr.LRRecorder(), *extra]
        history = model.fit(x, y, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0, callbacks=callbacks).history
        accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
        print(f"{name}: {accuracy:.1%} of the test images recognised; last epoch at {history['learning_rate'][-1]:.2g}")


if __name__ == "__main__":
    main()
