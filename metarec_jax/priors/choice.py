"""Item vectors from who rated what, the initial values of `models.choice.ChoicePrior`."""

import functools

import numpy as np
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings
from metarec_jax.models.choice import STATISTICS
from metarec_jax.priors.folds import rotation

CHOICE_DIM = 32  # spectral axes
PSEUDO_USERS = 5.0  # added to an item's raters, so that the vector of a rare item is not long by chance


def choice_vectors(train: Ratings, dim: int) -> np.ndarray:
    """[I, dim + STATISTICS] float32 vectors of the items; the spectral columns have mean square 1 over the ratings.

    The first `dim` columns are the leading axes of a correspondence analysis of who rated what (Benzecri 1973): the
    singular vectors of the binary user x item matrix, with rows and columns divided by the roots of their sums, without
    the trivial first one. Where there are fewer axes the other columns are 0. The last columns are log popularity and
    mean rating, standardised, and their squares less 1.
    """
    raters = np.bincount(train.item, minlength=train.num_items).astype(np.float64)
    rated = np.bincount(train.user, minlength=train.num_users).astype(np.float64)
    weight = 1.0 / np.sqrt(rated[train.user] * (raters[train.item] + PSEUDO_USERS))
    table = scipy.sparse.csr_matrix((weight, (train.user, train.item)), shape=(train.num_users, train.num_items))
    axes = max(0, min(dim, min(table.shape) - 2))
    rows = np.zeros((0, train.num_items))
    if axes:
        _, values, rows = scipy.sparse.linalg.svds(table, k=axes + 1, random_state=0)
        rows = rows[np.argsort(-values)[1:]]
    spectral = rows.T / np.sqrt(raters + PSEUDO_USERS)[:, None]
    spectral /= np.sqrt(np.mean(spectral[train.item] ** 2, 0)) + 1e-12
    total = np.bincount(train.item, train.rating, train.num_items) + PSEUDO_USERS * train.rating.mean()
    statistics = [_standard(statistic, train.item) for statistic in (np.log1p(raters), total / (raters + PSEUDO_USERS))]
    columns = [spectral, np.zeros((train.num_items, dim - axes)), *(statistic[:, None] for statistic in statistics)]
    return np.concatenate(columns + [statistic[:, None] ** 2 - 1.0 for statistic in statistics], 1).astype(np.float32)


def _standard(values: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Values [I] standardised to mean 0 and variance 1 over the ratings, whose items are [R]."""
    over = values[items]
    return (values - over.mean()) / (over.std() + 1e-6)


def rotated(vectors: np.ndarray, target: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The vectors [I, width] with their spectral axes turned to be as near as can be to those of `target`, item by item
    in proportion to its ratings `counts` [I]."""
    axes = vectors.shape[1] - STATISTICS
    turn = rotation(vectors[:, :axes], target[:, :axes], counts)
    return np.concatenate([vectors[:, :axes] @ turn, vectors[:, axes:]], 1)


@functools.lru_cache(maxsize=16)
def fitted_choice_vectors(train: Ratings) -> np.ndarray:
    """`choice_vectors` with `CHOICE_DIM` axes, [I, CHOICE_DIM + STATISTICS], cached for the last tables."""
    return choice_vectors(train, CHOICE_DIM)
