"""A ridge regression on the owner's side features for every candidate: "this reader likes crime novels".

For tables whose tasks are new items: the candidates are the users who may rate the item, and the owner's features are
its genre, year, ... A candidate's weights of the features, learnt from training ratings, apply to owners without
ratings too:
    r = mu + b_c + f . (beta + delta_c) + b_o,
with weights beta common to all candidates, deviations delta_c of each candidate, and the new owner's bias b_o, which is
0 before the first rating and a shrunk mean of residuals afterwards.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines.owner_bias import with_owner_bias
from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import normal_equations, solve_rows
from metarec_jax.priors.bias import content_weights, fit_biases
from metarec_jax.types import Array, Inputs, Params

COMPONENTS = 48  # principal components of the features; the systems solved are [candidates, COMPONENTS, COMPONENTS]


def principal_axes(values: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """centre [G] and principal axes [G, r], r <= rank, of values [M, G], scaled so that the rows of
    (values - centre) @ axes have mean square length 1."""
    centre = values.mean(0)
    _, size, axes = np.linalg.svd(values - centre, full_matrices=False)
    axes = axes[:rank][size[:rank] > 1e-6].T
    scale = np.sqrt(np.mean(np.sum(((values - centre) @ axes) ** 2, 1))) if axes.size else 1.0
    return centre, axes / scale


def fit(
    train: Ratings, *, reg: float = 10.0, reg_all: float = 3.0, reg_owner: float = 3.0, reg_candidate: float = 5.0
) -> Params:
    """Biases and weights of the features.

    Args:
      train: the training ratings; `user` holds the owners.
      reg: ridge penalty of delta_c, in ratings.
      reg_all: ridge penalty of beta, in owners.
      reg_owner: pseudo-ratings of the owners' biases, including the new one's.
      reg_candidate: pseudo-ratings of the candidates' biases.

    Returns:
      candidate [I], mu + b_c in rating units; taste [I, r], beta + delta_c; centre [G]; axes [G, r]; reg_owner [].
    """
    mean, candidate, owner = fit_biases(train, reg_owner, reg_candidate)
    centre, axes = principal_axes(train.user_features.values.astype(np.float64), COMPONENTS)
    features = (train.user_features.values - centre) @ axes
    count = np.diff(train.user_offsets)
    _, beta = content_weights(features, owner, count, reg_bias=reg_owner, reg=reg_all)
    order = train.item_order
    residual = train.rating - mean - candidate[train.item] - owner[train.user]
    gram, moment = normal_equations(features, train.user[order], residual[order], train.item_offsets)
    delta = solve_rows(gram + np.float32(reg) * np.eye(features.shape[1], dtype=np.float32), moment)
    return {
        "candidate": jnp.float32(mean + candidate),
        "taste": jnp.float32(beta + delta),
        "centre": jnp.float32(centre),
        "axes": jnp.float32(axes),
        "reg_owner": jnp.float32(reg_owner),
    }


def before_ratings(params: Params, x: Inputs) -> Array:
    """[N] expected ratings of an owner without ratings, from the owner's features."""
    features = (x.context - params["centre"]) @ params["axes"]
    return params["candidate"][x.id] + params["taste"][x.id] @ features


CONTENT_REGRESSION = with_owner_bias(fit, before_ratings)
