"""EASE: item-item weights of a training table (Steck 2019, arXiv:1905.03375), and initial tables of set encoders."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings
from metarec_jax.priors.statistics import check_items, interactions, rating_matrix
from metarec_jax.types import Array, Params


def ease_weights(matrix: scipy.sparse.csr_array, reg: float) -> np.ndarray:
    """B [I, I] that minimises |X - XB|^2 + reg |B|^2 with diag(B) = 0, for X [U, I] (eq. 8).

    Users with one item add to the diagonal of X'X only, so X'X + reg I = D + Z'Z with a diagonal D and the rows Z of
    the other users. If these are fewer than the items, the matrix inverted is [U, U], by Woodbury's identity:
    (D + Z'Z)^-1 = D^-1 - D^-1 Z' (1 + Z D^-1 Z')^-1 Z D^-1.
    """
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    number = np.diff(matrix.indptr)
    singles, multiple = matrix[number == 1], matrix[number > 1]
    diagonal = (reg + (singles * singles).sum(axis=0)).astype(matrix.dtype)
    users, items = multiple.shape
    if users < items:
        scaled = multiple @ scipy.sparse.diags_array(1.0 / diagonal)
        small = np.linalg.inv((scaled @ multiple.T).toarray() + np.eye(users, dtype=matrix.dtype))
        inverse = -(scaled.T @ (small @ scaled))
        inverse[np.diag_indices(items)] += 1.0 / diagonal
    else:
        inverse = np.linalg.inv((multiple.T @ multiple).toarray() + np.diag(diagonal))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


@functools.lru_cache(maxsize=1)
def fitted_weights(train: Ratings, reg: float, liked: bool) -> Array:
    """`ease_weights` of a table on the device, cached: settings that differ in the prior only have the same weights.

    Raises:
      TooLarge: more items than `statistics.MAX_ITEMS`.
    """
    check_items(train)
    interacted, _ = interactions(train, liked)
    return jnp.asarray(ease_weights(rating_matrix(train, interacted), reg))


def popularity_prior(train: Ratings, interacted: np.ndarray, weight: float) -> np.ndarray:
    """[I] `weight` times the fraction of users who interacted with the item, the scores where nothing else is known."""
    return weight * np.bincount(train.item[interacted], minlength=train.num_items) / train.num_users


LOGITS = 0.025  # factor from EASE's scores times their penalty to logits, for a moderate softmax


def ease_start(params: Params, train: Ratings, reg: float) -> Params:
    """Initial tables of a set encoder (`models.set_encoder`) whose scores approximate those of EASE.

    They are a truncated singular value decomposition of EASE's weights, of the rank that the vectors' length allows.

    Args:
      params: of the encoder.
      train: the training ratings.
      reg: lambda of EASE.

    Returns:
      The parameters that are replaced: id_known and id_sought.
    """
    weights = np.asarray(fitted_weights(train, reg, True))
    rank = min(params["id_known"]["table"].shape[1], train.num_items - 1)
    left, values, right = scipy.sparse.linalg.svds(weights, k=rank, random_state=0)
    root = np.sqrt(LOGITS * reg * values)
    tables = {"id_known": left * root, "id_sought": right.T * root}
    return {name: {"table": params[name]["table"].at[:, :rank].set(table)} for name, table in tables.items()}
