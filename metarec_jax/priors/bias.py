"""Biases of users and items, fitted by alternating least squares."""

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.means import shrunk_mean

SWEEPS = 200  # converges in 5 to 30; the limit is for tables whose blocks hardly touch

TOLERANCE = 1e-6  # of the standard deviation of the ratings


def fit_biases(train: Ratings, reg_user: float, reg_item: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Alternating closed form solution: (mu, item biases [I], user biases [U]), float64, in rating units."""
    rating = train.rating.astype(np.float64)
    mean, item, user = rating.mean(), np.zeros(train.num_items), np.zeros(train.num_users)
    for _ in range(SWEEPS):
        previous = mean + item
        item = shrunk_mean(train.item, rating - mean - user[train.user], train.num_items, reg_item)
        user = shrunk_mean(train.user, rating - mean - item[train.item], train.num_users, reg_user)
        # Moving a block's mean into mu changes no prediction and lowers the penalty: an exact step in the one
        # direction in which alternating is slow.
        mean += item.mean() + user.mean()
        item -= item.mean()
        user -= user.mean()
        if np.abs(mean + item - previous).max() <= TOLERANCE * (rating.std() + 1e-9):
            break
    return float(mean), item, user


def content_weights(
    values: np.ndarray, own: np.ndarray, count: np.ndarray, *, reg_own: float = 3.0, reg: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """What side features say of a bias: centre [F] and weights [F] of (values - centre) @ weights, by ridge regression.

    Args:
      values: [M, F] side features.
      own: [M] biases from ratings.
      count: [M] how many ratings; a bias counts for n / (n + reg_own).
      reg_own: pseudo-ratings.
      reg: ridge penalty, in items or users that are well known.
    """
    centre = values.mean(0, dtype=np.float64)
    centred, weight = values - centre, count / (count + reg_own)
    gram = (centred * weight[:, None]).T @ centred + reg * np.eye(values.shape[1])
    return centre, np.linalg.solve(gram, centred.T @ (weight * own))
