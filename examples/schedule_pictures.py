"""Draw a small picture of every schedule, for a table: `python examples/schedule_pictures.py [--output DIR]`."""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from matplotlib.figure import Figure

from keras_lr import schedules as s

STEPS = 300
SCHEDULES = {
    "one_cycle": s.OneCycle(1.0, STEPS),
    "one_cycle_three_phase": s.OneCycle(1.0, STEPS, three_phase=True, shape="linear", warmup_fraction=0.4),
    "cyclical_triangular": s.Cyclical(0.1, 1.0, 50),
    "cyclical_triangular2": s.Cyclical(0.1, 1.0, 50, mode="triangular2"),
    "cyclical_exp_range": s.Cyclical(0.1, 1.0, 50, mode="exp_range", gamma=0.995),
    "warmup": s.Warmup(1.0, 60),
    "warmup_stable_decay": s.WarmupStableDecay(1.0, 60, warmup_steps=30, stable_steps=210, decay_shape="1-sqrt"),
    "warmup_cosine": s.WarmupStableDecay(1.0, 270, warmup_steps=30, decay_shape="cosine"),
    "inverse_sqrt": s.InverseSqrt(1.0, 30),
    "polynomial": s.Polynomial(1.0, 270, power=2.0, warmup_steps=30),
    "flat_cosine": s.FlatCosine(1.0, STEPS),
    "cosine_restarts": s.CosineRestarts(1.0, 43, t_mul=2.0, m_mul=0.7),
    "sequential": s.Sequential([s.Warmup(1.0, 40), 1.0, 0.3, 0.1], [40, 120, 210]),
}


def draw(schedule, path):
    """Draws one line on grey axes, which are readable on light and dark pages."""
    axes = Figure(figsize=(1.6, 0.8), layout="constrained").subplots()
    s.preview(schedule, STEPS).plot(axes)
    axes.set(xlabel="", ylabel="", xticks=[], yticks=[], ylim=(-0.04, 1.06))
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_color("#949494")
    axes.figure.savefig(path, transparent=True, dpi=100)


def main():
    """Writes one PNG per schedule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="docs/schedules", help="directory of the pictures (%(default)s)")
    folder = Path(parser.parse_args().output)
    folder.mkdir(parents=True, exist_ok=True)
    for name, schedule in SCHEDULES.items():
        draw(schedule, folder / f"{name}.png")
    print(f"{len(SCHEDULES)} pictures in {folder}")


if __name__ == "__main__":
    main()
