"""Draw a small picture of every finding, for a table: `python examples/finding_pictures.py [--output DIR]`."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import keras_lr

EPOCHS = np.arange(30)
NOISE, VALIDATION_NOISE = 0.02 * np.random.default_rng(0).normal(size=(2, EPOCHS.size))
FALL = 0.4 + 1.8 * np.exp(-EPOCHS / 5)
RISE = np.where(EPOCHS > 19, (EPOCHS - 19) ** 2 / 8, 0)
QUICK = np.maximum(2.3 - 0.22 * EPOCHS, 1.2)
# The training loss and the validation loss.
CURVES = {
    "oscillation": (FALL + np.where(EPOCHS % 2, 0.35, -0.35), FALL + 0.1),
    "stagnation": (2.2 + 0 * FALL, 2.25 + 0 * FALL),
    "divergence": (FALL + RISE, FALL + 0.1 + 1.1 * RISE),
    "slow_learning": (2.3 - 0.03 * EPOCHS, 2.4 - 0.03 * EPOCHS),
    "early_plateau": (QUICK, QUICK + 0.1),
    "overfitting": (0.2 + 2.0 * np.exp(-EPOCHS / 6), 0.8 + 1.5 * np.exp(-EPOCHS / 3) + EPOCHS / 40),
    "noisy_validation": (FALL, FALL + 0.4 + 20 * VALIDATION_NOISE),
}


def draw(kind, path):
    """Draws the losses and what is found in them, on grey axes that are readable on light and dark pages."""
    loss, validation = CURVES[kind]
    run = keras_lr.analyze_history({"loss": loss + NOISE, "val_loss": validation + VALIDATION_NOISE})
    found = tuple(finding for finding in run.findings if finding.kind == kind)
    axes = Figure(figsize=(1.8, 1.0), layout="constrained").subplots()
    replace(run, findings=found).plot(axes)
    axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
    axes.get_legend().remove()
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_color("#949494")
    axes.figure.savefig(path, transparent=True, dpi=100)
    return bool(found)


def main():
    """Writes one PNG per finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="docs/findings", help="directory of the pictures (%(default)s)")
    folder = Path(parser.parse_args().output)
    folder.mkdir(parents=True, exist_ok=True)
    shown = sum(draw(kind, folder / f"{kind}.png") for kind in CURVES)
    print(f"{shown} of {len(CURVES)} pictures in {folder} show what was found")


if __name__ == "__main__":
    main()
