"""Texts as numbers: hashed n-grams, bytes, or vectors of a frozen sentence encoder.

Counts and averages are over the texts of the TRAINING classes only: nothing about a held-out class is known before its
support is read.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metarec_jax.data.classes import Classes
from metarec_jax.data.features.titles import ENCODER, Encoder, hashed_column, ngrams, sentence_vectors
from metarec_jax.data.fetch.download import cache_root
from metarec_jax.data.table import DataError
from metarec_jax.data.texts import Texts
from metarec_jax.ops.files import npz_content, write_atomic
from metarec_jax.ops.untrusted import DamagedError, npz_arrays

WIDTH = 4096  # columns of hashed n-grams
MOST = 128  # n-grams kept of a text


class Bag(NamedTuple):
    """Rows of a wide table with few entries, padded with weight 0; entries of one column add up."""

    column: np.ndarray  # [N, M] int32
    weight: np.ndarray  # [N, M] float32


def hashed_ngrams(texts: Texts, width: int = WIDTH, most: int = MOST) -> Classes:
    """Words, pairs of words and character n-grams, hashed to `width` columns with a sign (tf-idf), as rows of length 1.

    An n-gram that is in df of the M training texts has weight log((M + 1) / (df + 1)) for every time it occurs. Of a
    text with more than `most` n-grams those of the largest weight are kept.

    Returns:
      Classes whose x is a `Bag` of [N, most].
    """
    counted = [Counter(ngrams(text)) for text in texts.texts]
    known = texts.rows("train")
    having = Counter(ngram for row in known for ngram in counted[row])
    column, weight = np.zeros((len(counted), most), np.int32), np.zeros((len(counted), most), np.float32)
    column_and_weight: dict[str, tuple[int, float]] = {}
    for row, counts in enumerate(counted):
        entries = []
        for ngram, count in counts.items():
            if ngram not in column_and_weight:
                index, sign = hashed_column(ngram, width)
                column_and_weight[ngram] = index, sign * float(np.log((len(known) + 1) / (having[ngram] + 1)))
            index, value = column_and_weight[ngram]
            entries.append((index, count * value))
        entries = sorted(entries, key=lambda entry: -abs(entry[1]))[:most]
        if entries:
            column[row, : len(entries)], weight[row, : len(entries)] = zip(*entries, strict=True)
    return texts.classes(Bag(column, weight / _lengths(column, weight, width)[:, None]))


def _lengths(column: np.ndarray, weight: np.ndarray, width: int) -> np.ndarray:
    """[N] Euclidean lengths of the rows of a bag, 1 for rows of zeros."""
    summed = (np.bincount(columns, weights, minlength=width) for columns, weights in zip(column, weight, strict=True))
    squares = np.array([np.square(row).sum() for row in summed])
    return np.where(squares > 0, np.sqrt(squares), 1.0).astype(np.float32)


def utf8(texts: Texts, length: int) -> Classes:
    """The first bytes of each text, in lower case, as uint8 [N, length]; 0 is padding."""
    x = np.zeros((len(texts.texts), length), np.uint8)
    for row, text in enumerate(texts.texts):
        content = text.lower().encode()[:length]
        x[row, : len(content)] = np.frombuffer(content, np.uint8)
    return texts.classes(x)


def sentences(texts: Texts, folder: Path | None = None, encode: Encoder | None = None) -> Classes:
    """Vectors of length 1 of a frozen sentence encoder, float32 [N, D], computed once.

    Args:
      texts: what is encoded.
      folder: where the vectors are cached, under a name that depends on the texts and the encoder, so that the encoder
        runs once; None is `sentence_vectors` in `download.cache_root`.
      encode: N texts -> [N, D]; None is `titles.ENCODER`.

    Raises:
      DataError: the vectors are not cached and the encoder is not available; or the cached ones are damaged.
      OSError: the folder cannot be written.
    """
    digest = hashlib.sha256("\x1f".join([ENCODER, *texts.texts]).encode()).hexdigest()
    path = (folder or cache_root() / "sentence_vectors") / f"{texts.name}-{digest[:16]}.npz"
    if path.is_file():
        return texts.classes(_cached_vectors(path, len(texts.texts)))
    vectors = sentence_vectors(texts.texts, encode)
    write_atomic(path, npz_content({"vectors": vectors.astype(np.float16)}))
    return texts.classes(vectors.astype(np.float16).astype(np.float32))  # the same as read from the cache


def _cached_vectors(path: Path, rows: int) -> np.ndarray:
    """[rows, D] float32."""
    try:
        vectors = npz_arrays(path).get("vectors")
    except DamagedError as error:
        raise DataError(f"{path}: damaged ({error}); delete it to encode the texts again.") from error
    if vectors is None or vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) != rows:
        raise DataError(f"{path}: no vectors float16 [{rows}, D]; delete it to encode the texts again.")
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: a value is not a finite number; delete it to encode the texts again.")
    return vectors.astype(np.float32)
