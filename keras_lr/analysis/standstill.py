"""Whether the weights of a run hardly moved."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.series import noise_level

# A validation course this many times calmer than the training loss.
CALM = 5.0
DRIFT = 3.0


def stands_still(loss: np.ndarray, validation: np.ndarray) -> bool:
    """Whether the loss only flickers about its first value while the validation loss glides.

    The training loss of an epoch varies with its order, its dropout and its last batch even where no weight moves; the
    validation loss is computed from the weights alone. Where it is far calmer, the weights hardly move between
    epochs; and where the first epoch's loss was not above the later ones, they did not move at once and then settle,
    as those of a network that a far too high rate has killed.

    Args:
        loss: Training loss, shape `(n,)`, `n` at least 3.
        validation: Validation loss at the same epochs, shape `(n,)`.
    """
    later = loss[1:] if loss.size > 4 else loss
    noise = noise_level(later)
    return bool(noise > CALM * noise_level(validation) and abs(loss[0] - np.median(later)) < DRIFT * noise)
