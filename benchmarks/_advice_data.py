"""Data of the advice benchmark: scikit-learn's own sets and seeded noise, split 75:25."""

from __future__ import annotations

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits(*, scale: float = 16.0, itself: bool = False) -> Data:
    """Handwritten digits, shape `(n, 64)`, divided by `scale`; `itself` makes the input the target."""
    x, y = datasets.load_digits(return_X_y=True)
    x = x / scale
    return _split(x, x if itself else y)


def breast_cancer() -> Data:
    """Breast cancer, two classes, standardised."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return _split(_standard(x), y)


def wine(*, scaled: bool = True) -> Data:
    """Wine, three classes; unscaled, one feature runs to 1680 and another to 0.7."""
    x, y = datasets.load_wine(return_X_y=True)
    return _split(_standard(x) if scaled else x, y)


def diabetes(*, scaled_target: bool = True) -> Data:
    """Diabetes progression, standardised inputs; the raw target runs from 25 to 346."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return _split(_standard(x), _standard(y[:, None]) if scaled_target else y[:, None])


def friedman() -> Data:
    """Friedman 1, 2000 samples with noise 0.5, standardised target."""
    x, y = datasets.make_friedman1(2000, noise=0.5, random_state=0)
    return _split(x, _standard(y[:, None]))


def informative() -> Data:
    """Four classes in 40 features of which 12 inform."""
    x, y = datasets.make_classification(3000, 40, n_informative=12, n_classes=4, random_state=0)
    return _split(_standard(x), y)


def moons() -> Data:
    """Two noisy half-moons."""
    x, y = datasets.make_moons(2000, noise=0.25, random_state=0)
    return _split(_standard(x), y)


def swiss_roll() -> Data:
    """The position along a swiss roll from its three coordinates, all standardised."""
    x, y = datasets.make_swiss_roll(2000, noise=0.5, random_state=0)
    return _split(_standard(x), _standard(y[:, None]))


def heteroscedastic() -> Data:
    """A sine whose noise grows from 0.02 to 0.3: a Gaussian likelihood's loss ends below zero."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, (2000, 4))
    spread = 0.02 + 0.14 * (x[:, 1] + 1)
    return _split(x, (np.sin(3 * x[:, 0]) + generator.normal(0, spread))[:, None])


def gated_sums() -> Data:
    """Sign of a running sum of 24 x 3 noise, gated by its third channel."""
    x = np.random.default_rng(0).normal(size=(3000, 24, 3))
    return _split(x, ((x[:, :, 0] * (x[:, :, 2] > 0)).sum(axis=1) > 0).astype("int64"))


def token_topics() -> Data:
    """Five topics, each a mixture of its own and common words; 30 tokens of 500."""
    generator = np.random.default_rng(0)
    topics = generator.dirichlet(np.full(500, 0.2), 5) * 0.4 + generator.dirichlet(np.ones(500)) * 0.6
    y = generator.integers(0, 5, 2000)
    return _split(np.stack([generator.choice(500, 30, p=topics[topic]) for topic in y]), y)


def _standard(values: np.ndarray) -> np.ndarray:
    return StandardScaler().fit_transform(values)


def _split(x: np.ndarray, y: np.ndarray) -> Data:
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=0)
    kind = "float32" if y.dtype.kind == "f" else "int64"
    inputs = "float32" if x.dtype.kind == "f" else "int64"
    return x_train.astype(inputs), y_train.astype(kind), x_val.astype(inputs), y_val.astype(kind)
