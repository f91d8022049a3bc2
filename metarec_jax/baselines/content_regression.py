"""A regression on the owner's side features for every candidate: "this reader likes crime novels".

For tables whose tasks are new items: the candidates are the users who may rate one, the owner's features are its genre,
year, ... A candidate's training ratings teach a taste for the features that holds for owners nobody has rated yet:
    r = mu + b_c + f . (beta + delta_c) + b_o,
with beta what everybody likes, delta_c the candidate's own taste, and b_o the new owner's bias, which is 0 before the
first rating and a shrunk mean afterwards.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines.owner_bias import with_owner_bias
from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import normal_equations, solve_rows
from metarec_jax.priors.bias import content_weights, fit_biases
from metarec_jax.types import Array, Inputs, Params

COMPONENTS = 48  # of the features; a [candidates, COMPONENTS^2] array is solved


def principal_axes(values: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """centre [G] and axes [G, r], r <= rank: (values - centre) @ axes keeps all of the variance it can, and has a mean
    square of 1 a row."""
    centre = values.mean(0)
    _, size, axes = np.linalg.svd(values - centre, full_matrices=False)
    axes = axes[:rank][size[:rank] > 1e-6].T
    scale = np.sqrt(np.mean(np.sum(((values - centre) @ axes) ** 2, 1))) if axes.size else 1.0
    return centre, axes / scale


def fit(
    train: Ratings, *, reg: float = 10.0, reg_all: float = 3.0, reg_owner: float = 3.0, reg_candidate: float = 5.0
) -> Params:
    """Biases and tastes.

    Args:
      train: the training ratings; `user` holds the owners.
      reg: ridge penalty of a candidate's own taste, in ratings.
      reg_all: ridge penalty of what everybody likes, in owners.
      reg_owner: pseudo-ratings of the owners' biases, the new one's too.
      reg_candidate: pseudo-ratings of the candidates' biases.

    Returns:
      candidate [I], mu + b_c in rating units; taste [I, r], beta + delta_c; centre [G]; axes [G, r]; reg_owner [].
    """
    mean, candidate, owner = fit_biases(train, reg_owner, reg_candidate)
    centre, axes = principal_axes(train.user_features.values.astype(np.float64), COMPONENTS)
    features = (train.user_features.values - centre) @ axes
    count = np.diff(train.user_offsets)
    _, beta = content_weights(features, owner, count, reg_own=reg_owner, reg=reg_all)
    order = train.item_order
    left = train.rating - mean - candidate[train.item] - owner[train.user]
    own_gram, moment = normal_equations(features, train.user[order], left[order], train.item_offsets)
    delta = solve_rows(own_gram + np.float32(reg) * np.eye(features.shape[1], dtype=np.float32), moment)
    return {
        "candidate": jnp.float32(mean + candidate),
        "taste": jnp.float32(beta + delta),
        "centre": jnp.float32(centre),
        "axes": jnp.float32(axes),
        "reg_owner": jnp.float32(reg_owner),
    }


def before_ratings(params: Params, x: Inputs) -> Array:
    """[N] expected ratings of an owner of whom only the features are known."""
    features = (x.context - params["centre"]) @ params["axes"]
    return params["candidate"][x.id] + jnp.sum(features * params["taste"][x.id], 1)


CONTENT_REGRESSION = with_owner_bias(fit, before_ratings)
