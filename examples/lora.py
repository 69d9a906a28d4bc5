"""The learning rate of a fine-tuning before and after `enable_lora`: `python examples/lora.py`."""

import keras
from sklearn.datasets import load_digits

import keras_lr

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_model():
    """An MLP with a head for five classes."""
    hidden = [keras.layers.Dense(128, "relu") for _ in range(3)]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(5)])


def make_tuned(pretrained, lora):
    """The pretrained layers with a new head; with LoRA their kernels are frozen and get updates of rank 4."""
    keras.utils.set_random_seed(1)
    model = make_model()
    for layer, learned in zip(model.layers[:-1], pretrained.layers[:-1], strict=True):
        layer.set_weights(learned.get_weights())
        if lora:
            layer.enable_lora(rank=4)
    # After enable_lora, because it changes what is trained.
    model.compile("adam", LOSS, metrics=["accuracy"])
    return model


def main():
    """Learns the digits 0 to 4, then 5 to 9 from 100 images: with all weights, and with LoRA at two rates."""
    images, labels = load_digits(return_X_y=True)
    images, old, new = images / 16, labels < 5, labels >= 5
    keras.utils.set_random_seed(0)
    pretrained = make_model()
    pretrained.compile("adam", LOSS)
    pretrained.fit(images[old], labels[old], epochs=20, verbose=0)

    x, y = images[new], labels[new] - 5
    rates = {}
    for name, lora in {"all weights": False, "LoRA": True}.items():
        model = make_tuned(pretrained, lora)
        advice = keras_lr.find_lr(model, x[:100], y[:100], batch_size=16, num_steps=100, repeats=3).suggestion
        rates[name] = advice.learning_rate or 1e-3
        print(f"{name}: learning rate {rates[name]:.1e} ({advice.confidence})")
    for name, rate in rates.items():
        model = make_tuned(pretrained, lora=True)
        model.optimizer.learning_rate = rate
        model.fit(x[:100], y[:100], batch_size=16, epochs=10, verbose=0)
        accuracy = model.evaluate(x[100:], y[100:], verbose=0, return_dict=True)["accuracy"]
        print(f"LoRA at the rate for {name}: {accuracy:.1%} of the new digits recognised")


if __name__ == "__main__":
    main()
