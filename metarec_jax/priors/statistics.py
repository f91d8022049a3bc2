"""Sums over the users who rated both items of a pair, for kNN, EASE and the Gaussian process."""

import contextlib
from collections.abc import Iterator

import numpy as np
import scipy.sparse

from metarec_jax.data.table import Ratings

MAX_ITEMS = 20_000  # a dense item x item float32 matrix of this size takes 1.6 GB


class TooLarge(ValueError):
    """A table is too large for a method, which `naming` names."""


@contextlib.contextmanager
def naming(method: str) -> Iterator[None]:
    """Name the method that is being fitted, not those that share its code, where a table is too large for it."""
    try:
        yield
    except TooLarge as error:
        raise ValueError(f"{method}: {error}; leave {method} out or keep the most rated items.") from error


def interactions(train: Ratings, liked: bool) -> tuple[np.ndarray, float]:
    """[R] bool, whether a rating counts as an interaction, and the least rating that does.

    With `liked` it is the median of the training ratings, so that 4 and 5 stars count on MovieLens; else -inf.
    """
    least = float(np.median(train.rating)) if liked else -np.inf
    return train.rating >= least, least


def rating_matrix(train: Ratings, values: np.ndarray | None = None) -> scipy.sparse.csr_array:
    """[U, I] float32 sparse matrix of `values` [R], one for each training rating; ones by default."""
    values = np.ones(len(train.item), np.float32) if values is None else values.astype(np.float32)
    return scipy.sparse.csr_array((values, train.item, train.user_offsets), (train.num_users, train.num_items))


def co_sums(train: Ratings, values: np.ndarray | None = None) -> np.ndarray:
    """sum_u v_ui v_uj over the users who rated both i and j, [I, I] float32; the number of those users by default.

    Raises:
      TooLarge: more than `MAX_ITEMS` items.
    """
    check_items(train)
    matrix = rating_matrix(train, values)
    return (matrix.T @ matrix).toarray()


def check_items(train: Ratings) -> None:
    """Check that an item-item matrix is possible.

    Raises:
      TooLarge: there are more than `MAX_ITEMS` items.
    """
    if train.num_items > MAX_ITEMS:
        raise TooLarge(
            f"{train.name} has {train.num_items} items, and a dense matrix of pairs of items stops at {MAX_ITEMS}"
        )
