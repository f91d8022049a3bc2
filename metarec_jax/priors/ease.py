"""EASE: item-item weights of a training table, and a start for set encoders."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings
from metarec_jax.priors.statistics import check_items, interactions, rating_matrix
from metarec_jax.types import Array, Params


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


LOGITS = 0.025  # of a score of EASE, times its penalty: from where the softmax neither ignores nor shouts


def ease_start(params: Params, train: Ratings, reg: float) -> Params:
    """The tables of a set encoder whose scores are those of EASE, as far as the vectors' length allows (a truncated
    singular value decomposition of its weights)."""
    weights = np.asarray(fitted_weights(train, reg, True))
    rank = min(params["id_known"]["table"].shape[1], train.num_items - 1)
    left, values, right = scipy.sparse.linalg.svds(weights, k=rank, random_state=0)
    root = np.sqrt(LOGITS * reg * values)
    tables = {"id_known": left * root, "id_sought": right.T * root}
    return {name: {"table": params[name]["table"].at[:, :rank].set(table)} for name, table in tables.items()}
