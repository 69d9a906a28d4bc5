"""Diagnose three runs with different learning rates, then compare them: `python examples/diagnose_three_runs.py`.

Needs scikit-learn (the `examples` extra). Runs offline in under a minute.
"""

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr

images, labels = load_digits(return_X_y=True)
x, x_val, y, y_val = train_test_split(images / 16, labels, test_size=0.25, random_state=0)


def train(learning_rate):
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
    recorder = keras_lr.LRRecorder()
    return model.fit(x, y, validation_data=(x_val, y_val), epochs=20, verbose=0, callbacks=[recorder])


runs = {f"rate {rate:g}": train(rate) for rate in (1e-5, 3e-3, 1.0)}
comparison = keras_lr.analyze_histories(runs)
for name, diagnosis in comparison.diagnoses.items():
    print(f"{name}: {diagnosis.verdict}. {diagnosis.reasons[0]}")
    for finding in diagnosis.findings:
        print(
            f"  {finding.kind}, epochs {finding.start_epoch}-{finding.end_epoch}: {finding.evidence} {finding.advice}"
        )
print(f"Best: {comparison.best_run}. {comparison.reason}")
print(f"Next: {comparison.suggested_low:.2g} to {comparison.suggested_high:.2g}")
