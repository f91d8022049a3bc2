"""User and item biases, r = mu + b_i + b_u (Koren 2010, "Factor in the neighbors", eq. 1), by joint ridge regression.

Minimises sum (r - mu - b_i - b_u)^2 + reg_item sum b_i^2 + reg_user sum b_u^2. mu is not penalised, so the b_u of the
training users sum to 0 and a new user's prior mean is 0. The biases are what most other baselines stand on.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines.means import folded_mean, shrunk_mean
from metarec_jax.data.table import Ratings
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params

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


def fit(train: Ratings, *, reg_user: float = 5.0, reg_item: float = 5.0) -> Params:
    """item [I], mu + b_i in rating units, and reg_user []. Both `reg` count pseudo-ratings."""
    mean, item, _ = fit_biases(train, reg_user, reg_item)
    return {"item": jnp.float32(mean + item), "reg_user": jnp.float32(reg_user)}


def adapt(params: Params, support: Examples) -> Fast:
    """user [] the new user's bias, by the same ridge regression with mu and b_i fixed."""
    residual = support.y - params["item"][support.x.id]
    return {"item": params["item"], "user": folded_mean(residual, support.mask, params["reg_user"])}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] ratings mu + b_i + b_u."""
    return fast["item"][x.id] + fast["user"]


BIAS = Baseline(fit, adapt, predict)
