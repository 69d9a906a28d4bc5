"""Draw a small picture of every finding, for a table: `python examples/finding_pictures.py [--output DIR]`."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_lr.results import Diagnosis, Finding

EPOCHS = np.arange(24)
FALL = 0.4 + 1.8 * np.exp(-EPOCHS / 4)
WAVE = np.where(EPOCHS % 2, 0.35, -0.35)
# The losses, the validation losses and the span of the finding.
CURVES = {
    "oscillation": (FALL + WAVE, FALL, (2, 23)),
    "stagnation": (2.2 + 0.01 * WAVE, 2.25 + 0 * FALL, (0, 23)),
    "divergence": (FALL + np.where(EPOCHS > 14, (EPOCHS - 14) ** 2 / 12, 0), FALL, (15, 23)),
    "slow_learning": (2.3 - 0.03 * EPOCHS, 2.35 - 0.03 * EPOCHS, (0, 23)),
    "early_plateau": (np.maximum(2.3 - 0.5 * EPOCHS, 1.3), np.maximum(2.4 - 0.5 * EPOCHS, 1.4), (3, 23)),
    "overfitting": (0.4 + 1.8 * np.exp(-EPOCHS / 5), 1.0 + 1.3 * np.exp(-EPOCHS / 2) + EPOCHS / 40, (7, 23)),
    "noisy_validation": (FALL, FALL + 0.2 + 1.6 * WAVE * np.cos(EPOCHS), (0, 23)),
}


def draw(kind, path):
    """Draws the losses and marks the finding, on grey axes that are readable on light and dark pages."""
    losses, validation, (start, end) = CURVES[kind]
    finding = Finding(kind, "warning", start, end, 1.0, "", "", "")
    run = Diagnosis("unclear", (), (finding,), 24, epochs=tuple(EPOCHS), losses=losses, val_losses=validation)
    axes = Figure(figsize=(1.8, 1.0), layout="constrained").subplots()
    run.plot(axes)
    axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
    axes.get_legend().remove()
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_color("#949494")
    axes.figure.savefig(path, transparent=True, dpi=100)


def main():
    """Writes one PNG per finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="docs/findings", help="directory of the pictures (%(default)s)")
    folder = Path(parser.parse_args().output)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in CURVES:
        draw(kind, folder / f"{kind}.png")
    print(f"{len(CURVES)} pictures in {folder}")


if __name__ == "__main__":
    main()
