"""Titles as hashed n-grams, against counts by hand, and as vectors of an encoder that a test can read."""

import sys

import numpy as np
import pytest

from metarec_jax.data.features.titles import (
    article_first,
    hashed_column,
    ngrams,
    sentence_features,
    title_features,
    without_year,
)
from metarec_jax.data.table import DataError


def test_years_in_brackets_go_and_other_brackets_stay():
    assert without_year("Heat (1995)") == "Heat"
    assert without_year("Thing, The (a.k.a. It) (1982)") == "Thing, The (a.k.a. It)"
    assert without_year("Death Note (2006–2007)") == "Death Note"
    assert without_year("1984") == "1984"


def test_titles_as_they_are_read():
    assert article_first("Matrix, The (1999)") == "The Matrix (1999)"
    assert article_first("Misérables, Les") == "Les Misérables"
    assert article_first("Good, the Bad, The (1966)") == "The Good, the Bad (1966)"
    assert article_first("Me, Myself & Irene (2000)") == "Me, Myself & Irene (2000)"


def test_ngrams_by_hand():
    assert ngrams("Misérables, Les (1995)") == [
        "miserables", "les", "miserables les",
        "| mis|", "|mise|", "|iser|", "|sera|", "|erab|", "|rabl|", "|able|", "|bles|", "|les |",
        "| mise|", "|miser|", "|isera|", "|serab|", "|erabl|", "|rable|", "|ables|", "|bles |",
        "| les|", "|les |", "| les |",
    ]  # fmt: skip
    assert ngrams("(1995)") == []


def test_the_hash_is_the_same_everywhere():
    """The first 8 bytes of blake2b, as `b2sum -l 64` prints them: the last bit is the sign, the others the column."""
    assert hashed_column("heat", 256) == ((0x9E6CD5A077390D30 >> 1) % 256, 1.0)
    assert hashed_column("rocky", 1000) == ((0x07E1A34CC32DB42F >> 1) % 1000, -1.0)


def test_titles_weigh_what_they_share_by_how_rare_it_is():
    """In four titles "alien" occurs twice and "big" three times; all else occurs once and is left out."""
    titles = ["Alien (1979)", "Aliens big", "Big alien", "Big o"]
    shared = {"alien": 2, "| ali|": 3, "|alie|": 3, "|lien|": 3, "| alie|": 3, "|alien|": 3, "|ien |": 2, "|lien |": 2}
    shared |= {"big": 3, "| big|": 3, "|big |": 3, "| big |": 3}
    width = 4096  # wide enough for no two of them to share a column
    assert len({hashed_column(ngram, width)[0] for ngram in shared}) == len(shared)
    features = title_features(titles, width)
    assert features.names[:2] == ("title=0", "title=1") and features.values.shape == (4, width)
    weights = {ngram: np.log(4 / df) for ngram, df in shared.items() if ngram in ngrams(titles[0])}
    expected = np.zeros(width)
    for ngram, weight in weights.items():
        column, sign = hashed_column(ngram, width)
        expected[column] = sign * weight
    np.testing.assert_allclose(features.values[0], expected / np.linalg.norm(expected), atol=1e-6)


def test_a_title_that_shares_nothing_is_missing():
    values = title_features(["Heat", "Heat 2", "Zzyzx"]).values
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), [1, 1, 0], atol=1e-6)


def lengths(texts: list[str]) -> np.ndarray:
    """An encoder whose vectors say how long a text is and that it is one."""
    return np.array([[len(text), 1.0] for text in texts])


def test_an_encoder_sees_titles_without_years():
    features = sentence_features(["Heat (1995)", "Up"], lengths)
    assert features.names == ("sentence=0", "sentence=1")
    np.testing.assert_allclose(features.values, [[4 / 17**0.5, 17**-0.5], [2 / 5**0.5, 5**-0.5]], rtol=1e-6)


def test_a_bad_encoder_is_refused():
    with pytest.raises(DataError, match=r"the sentence encoder gives \(2,\), not a finite row"):
        sentence_features(["a", "b"], lambda texts: np.ones(len(texts)))
    with pytest.raises(DataError, match="not a finite row"):
        sentence_features(["a", "b"], lambda texts: np.full((2, 3), np.nan))


def test_without_the_package_an_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DataError, match=r'pip install "metarec_jax\[text\]"'):
        sentence_features(["a"])
