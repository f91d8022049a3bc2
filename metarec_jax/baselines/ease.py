"""EASE: a linear autoencoder over items without a hidden layer (Steck 2019, arXiv:1905.03375)."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from metarec_jax.baselines.item_statistics import check_items, interactions, rating_matrix
from metarec_jax.data.table import Ratings
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def ease_weights(matrix: scipy.sparse.csr_array, reg: float) -> np.ndarray:
    """B [I, I] of min |X - XB|^2 + reg |B|^2 with diag(B) = 0, from X [U, I] (eq. 8).

    X'X is a diagonal D and what users of several items add to it, for one of a single item adds to the diagonal alone.
    With fewer such users than items the matrix that is inverted is [U, U], by Woodbury's identity:
    (X'X + D)^-1 = D^-1 - D^-1 X' (1 + X D^-1 X')^-1 X D^-1.
    """
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    number = np.diff(matrix.indptr)
    singles, several = matrix[number == 1], matrix[number > 1]
    diagonal = (reg + (singles * singles).sum(axis=0)).astype(matrix.dtype)
    users, items = several.shape
    if users < items:
        scaled = several @ scipy.sparse.diags_array(1.0 / diagonal)
        small = np.linalg.inv((scaled @ several.T).toarray() + np.eye(users, dtype=matrix.dtype))
        inverse = -(scaled.T @ (small @ scaled))
        inverse[np.diag_indices(items)] += 1.0 / diagonal
    else:
        inverse = np.linalg.inv((several.T @ several).toarray() + np.diag(diagonal))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


@functools.lru_cache(maxsize=1)
def fitted_weights(train: Ratings, reg: float, liked: bool) -> Array:
    """`ease_weights` of a table on the device: settings that differ in the prior alone share them."""
    check_items(train)
    interacted, _ = interactions(train, liked)
    return jnp.asarray(ease_weights(rating_matrix(train, interacted), reg))


def popularity_prior(train: Ratings, interacted: np.ndarray, weight: float) -> np.ndarray:
    """[I] `weight` times the share of users who interacted with the item: the ranking where nothing else is known."""
    return weight * np.bincount(train.item[interacted], minlength=train.num_items) / train.num_users


def fit(train: Ratings, *, reg: float = 1000.0, liked: bool = True, popularity: float = 1e-3) -> Params:
    """Item-item weights, and a prior that decides where they say nothing.

    Args:
      train: the training ratings.
      reg: lambda of the paper, in users.
      liked: count only ratings of at least the median of the training ratings, in training and in the support set;
        otherwise whatever was rated counts.
      popularity: weight of the share of users who interacted with an item, added to every score. At K = 0 it ranks
        by popularity.

    Returns:
      weights [I, I]; prior [I]; least [], the least rating that counts.

    Raises:
      ValueError: more items than `item_statistics.MAX_ITEMS`.
    """
    interacted, least = interactions(train, liked)
    return {
        "weights": fitted_weights(train, reg, liked),
        "prior": jnp.float32(popularity_prior(train, interacted, popularity)),
        "least": jnp.float32(least),
    }


def adapt(params: Params, support: Examples) -> Fast:
    """id [K] of the support items and whether each counts, counts [K] 1 or 0."""
    counts = support.mask * (support.y >= params["least"])
    return {"id": support.x.id, "counts": counts, "weights": params["weights"], "prior": params["prior"]}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] scores: the row of the user's interactions times B (eq. 1)."""
    return fast["prior"][x.id] + fast["counts"] @ fast["weights"][fast["id"][:, None], x.id]


EASE = Baseline(fit, adapt, predict, output="score")
