"""Data of the advice benchmark: scikit-learn's data sets and seeded noise, split 75:25."""

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
    return split(x, x if itself else y)


def breast_cancer() -> Data:
    """Breast cancer, two classes, standardised."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return split(_standard(x), y)


def wine(*, scaled: bool = True) -> Data:
    """Wine, three classes; without scaling, one feature reaches 1680 and another 0.7."""
    x, y = datasets.load_wine(return_X_y=True)
    return split(_standard(x) if scaled else x, y)


def diabetes(*, scaled_target: bool = True) -> Data:
    """Diabetes progression, standardised inputs; the raw target runs from 25 to 346."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return split(_standard(x), _standard(y[:, None]) if scaled_target else y[:, None])


def friedman() -> Data:
    """Friedman 1, 2000 samples with noise 0.5, standardised target."""
    x, y = datasets.make_friedman1(2000, noise=0.5, random_state=0)
    return split(x, _standard(y[:, None]))


def informative() -> Data:
    """Four classes in 40 features, of which 12 are informative."""
    x, y = datasets.make_classification(3000, 40, n_informative=12, n_classes=4, random_state=0)
    return split(_standard(x), y)


def moons() -> Data:
    """Two noisy half-moons."""
    x, y = datasets.make_moons(2000, noise=0.25, random_state=0)
    return split(_standard(x), y)


def swiss_roll() -> Data:
    """The position along a swiss roll from its three coordinates, all standardised."""
    x, y = datasets.make_swiss_roll(2000, noise=0.5, random_state=0)
    return split(_standard(x), _standard(y[:, None]))


def heteroscedastic() -> Data:
    """A sine whose noise grows from 0.02 to 0.3, so that the loss of a Gaussian likelihood ends below zero."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, (2000, 4))
    spread = 0.02 + 0.14 * (x[:, 1] + 1)
    return split(x, (np.sin(3 * x[:, 0]) + generator.normal(0, spread))[:, None])


def gated_sums() -> Data:
    """Sign of a running sum of 24 x 3 noise, gated by its third channel."""
    x = np.random.default_rng(0).normal(size=(3000, 24, 3))
    return split(x, ((x[:, :, 0] * (x[:, :, 2] > 0)).sum(axis=1) > 0).astype("int64"))


def token_topics() -> Data:
    """Five topics, each a mixture of its own and common words; 30 tokens of 500."""
    generator = np.random.default_rng(0)
    topics = generator.dirichlet(np.full(500, 0.2), 5) * 0.4 + generator.dirichlet(np.ones(500)) * 0.6
    y = generator.integers(0, 5, 2000)
    return split(np.stack([generator.choice(500, 30, p=topics[topic]) for topic in y]), y)


def friedman_ratio() -> Data:
    """Friedman 3, an arctangent of unscaled products, standardised."""
    x, y = datasets.make_friedman3(1500, noise=0.1, random_state=0)
    return split(_standard(x), _standard(y[:, None]))


def hastie() -> Data:
    """Whether the sum of ten squared normal variables exceeds its median."""
    x, y = datasets.make_hastie_10_2(3000, random_state=0)
    return split(x, (y > 0).astype("int64"))


def multilabel() -> Data:
    """Five labels of bags of words, several per sample."""
    x, y = datasets.make_multilabel_classification(2000, 30, n_classes=5, random_state=0)
    return split(_standard(x), y.astype("float64"))


def ill_conditioned() -> Data:
    """A linear target of 20 correlated features whose scales span a decade."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1500, 20)) @ generator.normal(size=(20, 20)) * np.geomspace(0.1, 1, 20)
    return split(x, _standard((x @ generator.normal(size=(20, 1))) + generator.normal(size=(1500, 1))))


def counts() -> Data:
    """Poisson counts whose log rate is a sine and a product."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 6))
    return split(x, generator.poisson(np.exp(np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] * x[:, 2]))[:, None].astype("float64"))


def spirals() -> Data:
    """Two spirals of two turns."""
    generator = np.random.default_rng(0)
    side = generator.integers(0, 2, 2000)
    angle = np.sqrt(generator.uniform(0, 1, 2000)) * 3 * np.pi
    x = np.stack([np.cos(angle + np.pi * side), np.sin(angle + np.pi * side)], 1) * angle[:, None]
    return split(_standard(x + generator.normal(0, 0.3, x.shape)), side)


def ratings() -> Data:
    """Ratings of 60 items by 80 users from three hidden factors; the input is a pair of numbers."""
    generator = np.random.default_rng(0)
    pairs = np.stack([generator.integers(0, 80, 3000), generator.integers(0, 60, 3000)], axis=1)
    users, items = generator.normal(size=(80, 3)), generator.normal(size=(60, 3))
    y = (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1) + generator.normal(0, 0.3, 3000)
    return split(pairs, _standard(y[:, None]))


def markov_text() -> Data:
    """The next of 20 symbols, from the 12 before it in a second-order chain."""
    generator = np.random.default_rng(0)
    chain = generator.dirichlet(np.full(20, 0.08), (20, 20))
    text = [0, 1]
    for _ in range(3000):
        text.append(generator.choice(20, p=chain[text[-2], text[-1]]))
    windows = np.lib.stride_tricks.sliding_window_view(np.array(text), 13)
    return split(windows[:, :12].copy(), windows[:, 12].copy())


def iris() -> Data:
    """Iris, three classes, standardised."""
    x, y = datasets.load_iris(return_X_y=True)
    return split(_standard(x), y)


def quantiles() -> Data:
    """Five shells of a Gaussian in six dimensions."""
    x, y = datasets.make_gaussian_quantiles(n_samples=3000, n_features=6, n_classes=5, random_state=0)
    return split(x, y)


def sparse() -> Data:
    """A linear target of four among 30 features, plus the product of two more, standardised."""
    x, y = datasets.make_sparse_uncorrelated(2000, 30, random_state=0)
    return split(x, _standard((y + 2 * x[:, 4] * x[:, 5])[:, None]))


def circles() -> Data:
    """Two noisy circles, one inside the other."""
    x, y = datasets.make_circles(2000, noise=0.15, factor=0.6, random_state=0)
    return split(_standard(x), y)


def low_rank() -> Data:
    """A linear target of 50 features, whose variance lies in few directions."""
    x, y = datasets.make_regression(1600, 50, n_informative=15, effective_rank=8, noise=0.5, random_state=0)
    return split(_standard(x), _standard(y[:, None]))


def noisy_digits() -> Data:
    """Noisy digits as inputs, the clean digits as targets."""
    x, _ = datasets.load_digits(return_X_y=True)
    return split(x / 16 + np.random.default_rng(0).normal(0, 0.2, x.shape), x / 16)


def drawn_classes(seed: int, *, samples: int, features: int, classes: int, apart: float) -> Data:
    """Classes of two clusters each, in up to eight informative directions, standardised."""
    x, y = datasets.make_classification(
        samples,
        features,
        n_informative=min(features - 2, 8),
        n_classes=classes,
        class_sep=apart,
        random_state=seed,
        n_clusters_per_class=2,
    )
    return split(_standard(x), y)


def drawn_teacher(seed: int, *, samples: int, features: int, noise: float) -> Data:
    """The output of a network of twelve hidden tanh units for normal inputs, standardised, with noise."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples, features))
    hidden = np.tanh(x @ generator.normal(size=(features, 12)) / np.sqrt(features) * 2)
    y = hidden @ generator.normal(size=(12, 1))
    return split(x, _standard(y + noise * y.std() * generator.normal(size=y.shape)))


def _standard(values: np.ndarray) -> np.ndarray:
    return StandardScaler().fit_transform(values)


def split(x: np.ndarray, y: np.ndarray) -> Data:
    """A quarter for validation, drawn at random, as float32 and int64."""
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=0)
    kind = "float32" if y.dtype.kind == "f" else "int64"
    inputs = "float32" if x.dtype.kind == "f" else "int64"
    return x_train.astype(inputs), y_train.astype(kind), x_val.astype(inputs), y_val.astype(kind)
