"""Folds of the training users, and fits without each of them, turned so that they mean the same as the fit to all.

A model that is fitted to the users who are then meta-trained on explains their ratings better than those of new users,
and a learner that starts from it learns to trust it too much. Cross-fitting (Chernozhukov et al. 2018,
arXiv:1608.00060, "double/debiased machine learning", section 1) meets every training user with a fit that has not seen
that user.
"""

import functools

import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import Ratings

FOLDS = 5


def user_folds(train: Ratings) -> np.ndarray:
    """[U] int32 the fold of each user, 0..FOLDS-1: of equal sizes, by a hash of the raw ids."""
    place = np.empty(train.num_users, np.int32)
    place[np.argsort([seeded_hash("fold", user) for user in train.user_ids])] = np.arange(train.num_users)
    return place % FOLDS


@functools.lru_cache(maxsize=4)
def tables_without(train: Ratings) -> tuple[Ratings, ...]:
    """FOLDS tables: the f-th has no users of fold f; where that would be a table of nobody, it has all of them."""
    fold = user_folds(train)[train.user]
    rows = [np.flatnonzero(fold != number) for number in range(FOLDS)]
    return tuple(train.keep_rows(some) if len(some) else train for some in rows)


def rotation(vectors: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The orthogonal R [D, D] that minimises sum_i weights_i |vectors_i R - target_i|^2 (Schoenemann 1966, "A
    generalized solution of the orthogonal Procrustes problem").

    Args:
      vectors, target: [I, D].
      weights: [I], 0 or above.
    """
    cross = vectors.astype(np.float64).T @ (weights[:, None] * target.astype(np.float64))
    left, _, right = np.linalg.svd(cross)
    return (left @ right).astype(np.float32)
