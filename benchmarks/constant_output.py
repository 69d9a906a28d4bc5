"""Whether following a suggestion trains a ReLU network with unscaled targets to a constant output.

`python benchmarks/constant_output.py` draws 200 small regressions with targets of 1e2 to 1e4, asks `find_lr` for a
rate, trains at it, and trains once more under `AutoLR` from the optimizer's default rate. It counts the networks that
end with the same output for every input, by the confidence of the suggestion, and writes
`benchmarks/results/constant_output.md`. `--first` and `--count` draw others, `--tentative` also follows tentative
suggestions, `--rows` goes on from a file of rows. A training is dead if its outputs are the same for every input, or
nearly so at about the loss of the best constant; it got nowhere if they are nearly so at a higher loss.
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
from keras_lr._keras.constant_output import constant_output_loss

EPOCHS = 20
SAME = 1e-5
"""Outputs that differ by at most this fraction of their size are the same but for rounding."""

NEARLY = 0.01
"""Outputs that differ by less than this fraction of the targets' standard deviation are nearly the same."""

ABOUT = 1.1
"""A loss up to this many times that of the best constant is about the same."""

OUTCOMES = ("learned", "dead", "got nowhere")
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

    def outcome(self, model: keras.Model) -> str:
        """One of `OUTCOMES`."""
        outputs = np.asarray(model(self.x))
        if not np.isfinite(outputs).all() or np.std(outputs) <= SAME * np.abs(outputs).max():
            return "dead"
        if np.std(outputs) > NEARLY * np.std(self.y):
            return "learned"
        loss = float(np.mean(keras.losses.get(self.loss)(self.y[:, np.newaxis], outputs)))
        return "dead" if loss <= ABOUT * (constant_output_loss(self.loss, self.y) or np.inf) else "got nowhere"


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


def judge(seed: int, *, tentative: bool) -> dict[str, Any]:
    """What becomes of one case; a tentative suggestion is followed only if asked for."""
    case = draw(seed)
    row: dict[str, Any] = {"seed": seed, "optimizer": case.optimizer, "loss": case.loss, "layers": len(case.widths)}
    model = case.model()
    suggestion = find_lr(model, case.x, case.y, batch_size=case.batch_size, verbose=False).suggestion
    row |= {"confidence": suggestion.confidence, "rate": suggestion.learning_rate}
    if suggestion.confidence == "clear" or (tentative and suggestion.learning_rate is not None):
        model.optimizer.learning_rate = suggestion.learning_rate
        case.train(model)
        row["outcome"] = case.outcome(model)
    model, auto_lr = case.model(), AutoLR(verbose=False)
    case.train(model, auto_lr)
    row["AutoLR outcome"] = case.outcome(model)
    row["AutoLR says so"] = any("nearly the same output" in note for note in auto_lr.log.notes)
    row["AutoLR"] = " ".join(f"{action.kind}:{action.learning_rate_after:.2g}" for action in auto_lr.log.actions)
    keras.backend.clear_session()
    return row


def summary(rows: pd.DataFrame) -> str:
    """The counts in Markdown."""
    lines = [
        "# Suggestions that train to a constant output",
        "",
        f"{len(rows)} random ReLU networks with targets of 1e2 to 1e4, {EPOCHS} epochs each; "
        f"seeds {rows['seed'].min()} to {rows['seed'].max()}.",
        "",
        f"| suggestion | networks | {' | '.join(OUTCOMES)} |",
        "|-|-|-|-|-|",
    ]
    for confidence in ("clear", "tentative", "none"):
        part = rows[rows["confidence"] == confidence]
        lines.append(f"| {confidence} | {len(part)} | {_counts(part.get('outcome', pd.Series(dtype=object)))} |")
    lines.append(f"| `AutoLR` from the default rate | {len(rows)} | {_counts(rows['AutoLR outcome'])} |")
    failed = rows[rows["AutoLR outcome"] != "learned"]
    said = int(failed["AutoLR says so"].astype(bool).sum())
    lines += ["", f"`AutoLR` says so at the end of {said} of the {len(failed)} that did not learn."]
    return "\n".join(lines) + "\n"


def _counts(outcomes: pd.Series) -> str:
    return (
        " | ".join(str(int((outcomes == outcome).sum())) for outcome in OUTCOMES) if outcomes.notna().any() else "| |"
    )


def main() -> None:
    """Judges, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network (%(default)s)")
    parser.add_argument("--count", type=int, default=200, help="number of networks (%(default)s)")
    parser.add_argument("--tentative", action="store_true", help="also follow tentative suggestions")
    parser.add_argument("--rows", type=Path, help="CSV of the networks so far, to which each new one is added")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = options.rows is not None and options.rows.exists()
    rows = pd.read_csv(options.rows).to_dict("records") if known else []
    for seed in sorted({*range(options.first, options.first + options.count)} - {row["seed"] for row in rows}):
        rows.append(judge(seed, tentative=options.tentative))
        print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
        if options.rows is not None:
            pd.DataFrame(rows).to_csv(options.rows, index=False)
    table = pd.DataFrame(rows)
    table["confidence"] = table["confidence"].fillna("none")
    text = summary(table)
    print(text)
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
