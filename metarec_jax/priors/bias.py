"""Biases of users and items, fitted by alternating least squares."""

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.means import shrunk_mean

SWEEPS = 200  # converges in 5 to 30; more are needed where groups of users and items are almost disconnected
TOLERANCE = 1e-6  # of the standard deviation of the ratings


def fit_biases(train: Ratings, reg_user: float, reg_item: float) -> tuple[float, np.ndarray, np.ndarray]:
    """The model mu + b_i + b_u with ridge penalties, by alternating closed-form solutions.

    Args:
      train: the training ratings.
      reg_user, reg_item: penalties of the biases, in pseudo-ratings.

    Returns:
      (mu, item biases [I], user biases [U]), float64, in rating units.
    """
    rating = train.rating.astype(np.float64)
    mean, item, user = rating.mean(), np.zeros(train.num_items), np.zeros(train.num_users)
    for _ in range(SWEEPS):
        previous = mean + item
        item = shrunk_mean(train.item, rating - mean - user[train.user], train.num_items, reg_item)
        user = shrunk_mean(train.user, rating - mean - item[train.item], train.num_users, reg_user)
        # Moving the mean of the biases into mu changes no prediction and lowers the penalty: an exact step in the
        # direction in which alternation is slow.
        mean += item.mean() + user.mean()
        item -= item.mean()
        user -= user.mean()
        if np.abs(mean + item - previous).max() <= TOLERANCE * (rating.std() + 1e-9):
            break
    return float(mean), item, user


def content_weights(
    values: np.ndarray, biases: np.ndarray, count: np.ndarray, *, reg_bias: float = 3.0, reg: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression of biases on side features.

    Args:
      values: [M, F] side features.
      biases: [M] biases from ratings.
      count: [M] number of ratings n; a bias has weight n / (n + reg_bias).
      reg_bias: pseudo-ratings.
      reg: ridge penalty, in items or users with many ratings.

    Returns:
      centre [F] and weights [F]; the prediction is (values - centre) @ weights.
    """
    centre = values.mean(0, dtype=np.float64)
    centred, weight = values - centre, count / (count + reg_bias)
    gram = (centred * weight[:, None]).T @ centred + reg * np.eye(values.shape[1])
    return centre, np.linalg.solve(gram, centred.T @ (weight * biases))
