"""The states of a model to which `AutoLR` can return."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.snapshot import VariableSnapshot, seed_variables


class Checkpoint(VariableSnapshot):
    """A copy of a model's and its optimizer's variables that can be moved to main memory and written to a file.

    Args:
        model: A compiled model, built.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__([*model.variables, *model.optimizer.variables])

    def move_to_host(self) -> None:
        """Moves the copy to main memory."""
        with tf.device("CPU:0"):
            self._values = [tf.identity(value) for value in self._values]

    def arrays(self) -> list[np.ndarray]:
        """The values, in the order of the variables."""
        return [np.asarray(value) for value in self._values]

    def load(self, arrays: list[np.ndarray]) -> bool:
        """Replaces the values, unless they are those of another model; returns whether it has."""
        fits = len(arrays) == len(self._values) and all(
            array.shape == tuple(value.shape) for array, value in zip(arrays, self._values, strict=True)
        )
        if fits:
            with tf.device("CPU:0"):
                self._values = [
                    tf.convert_to_tensor(array, value.dtype) for array, value in zip(arrays, self._values, strict=True)
                ]
        return fits


class Checkpoints:
    """The initial state of a run and its last two good ones, of which the newest is on the device.

    Args:
        model: The model in training.
        arrays: What `to_arrays` returned before a restart.
    """

    def __init__(self, model: keras.Model, arrays: dict[str, np.ndarray] | None = None) -> None:
        self._model = model
        self._good: list[Checkpoint] = []
        self._newest = -1
        self._initial: Checkpoint | None = None
        if model.built and model.optimizer.built:
            self._initial = Checkpoint(model)
            self._initial.move_to_host()
            self._good = [self._initial]
            self._load(arrays or {})

    def save(self) -> None:
        """Adds the present state, after whichever the model was last restored to."""
        self._good = self._good[: len(self._good) + self._newest + 1]
        for checkpoint in self._good:
            checkpoint.move_to_host()
        # Drop the oldest copy first, so that there are never more than three.
        self._good = self._good[-1:]
        self._good.append(Checkpoint(self._model))
        self._newest = -1

    def restore(self, *, further_back: bool = False) -> None:
        """Returns to the newest good state, or to the one before it; the random state goes on."""
        if self._good:
            self._newest = max(-2 if further_back else -1, -len(self._good))
            self._good[self._newest].restore(keep_seeds=seed_variables(self._model))

    @property
    def knows_initial(self) -> bool:
        """Whether the model was built when the run began, so that its initial state is known."""
        return self._initial is not None

    def restore_initial(self) -> None:
        """Returns to the initial state, if it is known, and forgets the others."""
        if self._initial is not None:
            self._good, self._newest = [self._initial], -1
            self.restore()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every state, as arrays by name."""
        states = {"initial": self._initial, **{f"good{place}": state for place, state in enumerate(self._good)}}
        found = {
            f"{name}_{place}": array
            for name, state in states.items()
            if state is not None
            for place, array in enumerate(state.arrays())
        }
        return {**found, "newest": np.array(self._newest)}

    def _load(self, arrays: dict[str, np.ndarray]) -> None:
        states = []
        for name in ("initial", "good0", "good1"):
            values = []
            while (key := f"{name}_{len(values)}") in arrays:
                values.append(arrays[key])
            state = Checkpoint(self._model)
            if values and state.load(values):
                states.append(state)
        if states:
            self._initial, self._good = states[0], states[1:] or [states[0]]
            self._newest = max(int(arrays["newest"]), -len(self._good))
