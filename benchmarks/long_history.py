"""Time and peak memory of analysing a CSV file of a million steps, in a fresh process without TensorFlow.

`python benchmarks/long_history.py [STEPS]` prints both, with their bounds of 5 s and 500 MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

ANALYSIS = """
import resource, sys, time
began = time.perf_counter()
from keras_lr import analyze_history
diagnosis = analyze_history(sys.argv[1])
seconds = time.perf_counter() - began
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
heavy = "with" if "tensorflow" in sys.modules else "without"
print(f"{diagnosis.n_epochs} steps, verdict {diagnosis.verdict}: {seconds:.2f} s (bound 5), "
      f"{megabytes:.0f} MB at peak (bound 500), {heavy} TensorFlow")
"""


def write_run(path: Path, steps: int) -> None:
    """Writes a decay with noise and a learning-rate column, one row per step."""
    time = np.arange(steps)
    loss = np.exp(-time / steps * 5) + np.random.default_rng(0).normal(0, 0.05, steps)
    pd.DataFrame({"step": time, "loss": loss, "learning_rate": 1e-3}).to_csv(path, index=False)


def main() -> None:
    """Writes the file, analyses it in a fresh process and prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.csv"
        write_run(path, int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
        subprocess.run([sys.executable, "-c", ANALYSIS, str(path)], check=True)


if __name__ == "__main__":
    main()
