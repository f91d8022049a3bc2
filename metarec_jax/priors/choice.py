"""Vectors of who rated what: where priors of choice start."""

import functools

import numpy as np
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings

PSEUDO_USERS = 5.0  # added to an item's raters, so that a rare item does not have a vector as long as its chance


def choice_vectors(train: Ratings, dim: int) -> np.ndarray:
    """[I, dim + STATISTICS] float32 vectors of the items, of mean square 1 over the ratings.

    The first `dim` are the leading axes of a correspondence analysis of who rated what (Benzecri 1973): the singular
    vectors of the user x item table of 0 and 1, rows and columns divided by the roots of their sums, without the
    trivial first one. Fewer where there are not so many. The last are popularity (log) and mean rating, standardised,
    and their squares less 1.
    """
    raters = np.bincount(train.item, minlength=train.num_items).astype(np.float64)
    rated = np.bincount(train.user, minlength=train.num_users).astype(np.float64)
    weight = 1.0 / np.sqrt(rated[train.user] * (raters[train.item] + PSEUDO_USERS))
    table = scipy.sparse.csr_matrix((weight, (train.user, train.item)), shape=(train.num_users, train.num_items))
    axes = min(dim, min(table.shape) - 2)
    _, values, rows = scipy.sparse.linalg.svds(table, k=axes + 1, random_state=0)
    spectral = rows[np.argsort(-values)[1:]].T / np.sqrt(raters + PSEUDO_USERS)[:, None]
    spectral /= np.sqrt(np.mean(spectral[train.item] ** 2, 0)) + 1e-12
    total = np.bincount(train.item, train.rating, train.num_items) + PSEUDO_USERS * train.rating.mean()
    statistics = [_standard(of, train.item) for of in (np.log1p(raters), total / (raters + PSEUDO_USERS))]
    parts = [spectral, np.zeros((train.num_items, dim - axes)), *(s[:, None] for s in statistics)]
    return np.concatenate(parts + [s[:, None] ** 2 - 1.0 for s in statistics], 1).astype(np.float32)


def _standard(values: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Values [I] of mean 0 and variance 1 over the ratings' items [R]."""
    over = values[items]
    return (values - over.mean()) / (over.std() + 1e-6)


@functools.lru_cache(maxsize=4)
def fitted_choice_vectors(train: Ratings) -> np.ndarray:
    """Vectors of who rated what, [I, CHOICE_DIM + STATISTICS]."""
    return choice_vectors(train, CHOICE_DIM)


CHOICE_DIM = 32
