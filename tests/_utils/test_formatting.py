import pytest

from keras_lr._utils.formatting import format_rate, with_article


@pytest.mark.parametrize(
    ("rate", "digits", "words"),
    [
        (3e-5, 2, "3e-5"),
        (1e-4, 2, "1e-4"),
        (3.16e-4, 2, "3.2e-4"),
        (3.16e-4, 3, "3.16e-4"),
        (9.99e-4, 2, "1e-3"),
        (0.01, 2, "1e-2"),
        (0.03 * 0.1, 2, "3e-3"),
        (0.1, 2, "1e-1"),
        (0.96, 1, "1"),
        (0.3, 2, "3e-1"),
        (3.0, 2, "3"),
        (10.0, 2, "10"),
        (345.6, 2, "346"),
        (2e4, 2, "2e4"),
        (0.0, 2, "0"),
        (float("nan"), 2, "not finite"),
    ],
)
def test_a_rate_is_short_and_has_no_leading_zeros(rate, digits, words):
    assert format_rate(rate, digits=digits) == words


@pytest.mark.parametrize("said", ["a Dense", "an Embedding", "an LSTM", "a GRU", "an RNN", "a val_loss", "an accuracy"])
def test_a_name_takes_the_article_of_its_sound(said):
    assert with_article(said.split()[1]) == said
