"""Whether following a suggestion trains a network to a constant output, on random ReLU networks with unscaled targets.

`python benchmarks/constant_output.py` draws 200 small regressions with targets of 1e2 to 1e4, asks `find_lr` for a rate,
trains at it, and trains once more under `AutoLR` from the optimizer's default rate. It counts the networks that end with
the same output for every input, by the confidence of the suggestion, and writes `benchmarks/results/constant_output.md`.
`--first` and `--count` draw others. A training counts as dead if its outputs differ by less than 1% of the targets'
standard deviation.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from keras_lr import AutoLR, find_lr

EPOCHS = 25
DEAD_SHARE = 0.01
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(),
    "momentum": lambda: keras.optimizers.SGD(momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(),
}
RESULT = Path(__file__).parent / "results" / "constant_output.md"


class Case(NamedTuple):
    """A regression and the network that is to learn it.

    Attributes:
        x: Inputs, shape `(n_samples, n_features)`.
        y: Targets, shape `(n_samples,)`.
        widths: Units of each hidden layer.
        optimizer: A key of `OPTIMIZERS`.
        loss: Name of the loss.
        batch_size: Samples per step.
        seed: Seed of the weights and of the order of the data.
    """

    x: np.ndarray
    y: np.ndarray
    widths: tuple[int, ...]
    optimizer: str
    loss: str
    batch_size: int
    seed: int

    def model(self) -> keras.Model:
        """The compiled network, always with the same initial weights."""
        keras.utils.set_random_seed(self.seed)
        layers = [keras.layers.Dense(width, activation="relu") for width in self.widths]
        model = keras.Sequential([keras.Input((self.x.shape[1],)), *layers, keras.layers.Dense(1)])
        model.compile(OPTIMIZERS[self.optimizer](), self.loss)
        return model

    def train(self, model: keras.Model, *callbacks: Any) -> None:
        """Trains for `EPOCHS` epochs."""
        model.fit(self.x, self.y, batch_size=self.batch_size, epochs=EPOCHS, verbose=0, callbacks=list(callbacks))

    def is_dead(self, model: keras.Model) -> bool:
        """Whether the outputs hardly depend on the inputs, or are not finite."""
        spread = float(np.std(model.predict(self.x, verbose=0, batch_size=1024)))
        return not spread > DEAD_SHARE * float(np.std(self.y))


def draw(seed: int) -> Case:
    """A case that depends on `seed` alone."""
    rng = np.random.default_rng([seed, 18])
    samples, features = int(rng.integers(120, 600)), int(rng.integers(2, 12))
    x = rng.normal(size=(samples, features)) * 10 ** rng.uniform(-0.5, 0.5)
    hidden = np.tanh(x @ rng.normal(size=(features, 6)) / np.sqrt(features))
    y = hidden @ rng.normal(size=6) + 0.1 * rng.normal(size=samples)
    scale = 10 ** rng.uniform(2, 4)
    y = scale * (y / y.std() * rng.choice([0.1, 0.5, 1.0]) + rng.choice([0.0, 1.0, 3.0]))
    return Case(
        x=x.astype("float32"),
        y=y.astype("float32"),
        widths=tuple(int(width) for width in rng.choice([4, 8, 16, 32, 64], size=int(rng.integers(1, 5)))),
        optimizer=str(rng.choice(list(OPTIMIZERS))),
        loss=str(rng.choice(["mse", "mse", "mae", "huber"])),
        batch_size=int(rng.choice([8, 16, 32, 64])),
        seed=seed,
    )


def judge(seed: int) -> dict[str, Any]:
    """What becomes of one case."""
    case = draw(seed)
    row: dict[str, Any] = {"seed": seed, "optimizer": case.optimizer, "loss": case.loss, "layers": len(case.widths)}
    model = case.model()
    suggestion = find_lr(model, case.x, case.y, batch_size=case.batch_size, verbose=False).suggestion
    row |= {"confidence": suggestion.confidence, "rate": suggestion.learning_rate}
    if suggestion.learning_rate is not None:
        model.optimizer.learning_rate = suggestion.learning_rate
        case.train(model)
        row["dead"] = case.is_dead(model)
    model, auto_lr = case.model(), AutoLR(verbose=False)
    case.train(model, auto_lr)
    row["AutoLR dead"] = case.is_dead(model)
    row["AutoLR"] = " ".join(f"{action.kind}:{action.learning_rate_after:.2g}" for action in auto_lr.log.actions)
    keras.backend.clear_session()
    return row


def summary(rows: pd.DataFrame) -> str:
    """The counts in Markdown."""
    lines = [
        "# Suggestions that train to a constant output",
        "",
        f"{len(rows)} random ReLU networks with targets of 1e2 to 1e4, {EPOCHS} epochs each.",
        "",
        "| suggestion | networks | trained to a constant output |",
        "|-|-|-|",
    ]
    for confidence in ("clear", "tentative", "none"):
        part = rows[rows["confidence"] == confidence]
        lines.append(f"| {confidence} | {len(part)} | {int((part['dead'] == True).sum())} |")  # noqa: E712
    lines.append(f"| `AutoLR` from the default rate | {len(rows)} | {int(rows['AutoLR dead'].sum())} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Judges, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network (%(default)s)")
    parser.add_argument("--count", type=int, default=200, help="number of networks (%(default)s)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for seed in range(options.first, options.first + options.count):
        rows.append(judge(seed))
        print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
    text = summary(pd.DataFrame(rows))
    print(text)
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
