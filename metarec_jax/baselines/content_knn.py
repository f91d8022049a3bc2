"""Content-based kNN: the candidate's ratings of the training owners most similar to the new one in their side features.

For tables whose tasks are new items: a user's predicted rating of a film without ratings is the user's bias plus a
damped weighted mean of the user's residuals on the films with the most similar features (Pazzani and Billsus 2007,
"Content-based recommendation systems", section 10.4). With ratings, the new item's shrunk bias is added.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines.item_knn import nearest
from metarec_jax.baselines.owner_bias import with_owner_bias
from metarec_jax.data.table import Ratings
from metarec_jax.ops.similarity import unit_rows
from metarec_jax.priors.bias import fit_biases
from metarec_jax.priors.statistics import MAX_ITEMS, TooLarge, rating_matrix
from metarec_jax.types import Array, Inputs, Params


def fit(
    train: Ratings,
    *,
    neighbours: int = 50,
    damping: float = 3.0,
    reg_owner: float = 2.0,
    reg_candidate: float = 5.0,
) -> Params:
    """Biases, features and a dense table of residuals.

    Args:
      train: the training ratings; `user` holds the owners.
      neighbours: number of the most similar owners used.
      damping: pseudo-similarity with residual 0 in each prediction.
      reg_owner: pseudo-ratings of the new owner's bias.
      reg_candidate: pseudo-ratings of the candidates' biases.

    Returns:
      candidate [I], mu + b_c in rating units; features [U, G] of the training owners, each of length 1; scale [G], the
      divisor of the features; residual and rated [U, I]; neighbours [], damping [] and reg_owner [].

    Raises:
      TooLarge: owners times candidates exceed `statistics.MAX_ITEMS`^2.
    """
    if train.num_users * train.num_items > MAX_ITEMS**2:
        raise TooLarge(f"{train.name} is {train.num_users} x {train.num_items}, and a dense table of it too large")
    mean, candidate, _ = fit_biases(train, reg_owner, reg_candidate)
    residual = train.rating - mean - candidate[train.item]
    values = train.user_features.values
    scale = np.maximum(values.std(0), 1e-3)  # a rare actor says more than a common genre
    return {
        "candidate": jnp.float32(mean + candidate),
        "features": jnp.float32(unit_rows(values / scale)),
        "scale": jnp.float32(scale),
        "residual": jnp.asarray(rating_matrix(train, residual).toarray()),
        "rated": jnp.asarray(rating_matrix(train).toarray()),
        "neighbours": jnp.float32(neighbours),
        "damping": jnp.float32(damping),
        "reg_owner": jnp.float32(reg_owner),
    }


def before_ratings(params: Params, x: Inputs) -> Array:
    """[N] expected ratings of an owner without ratings, from the owner's features."""
    features = x.context / params["scale"]
    cosine = params["features"] @ (features / jnp.maximum(jnp.sqrt(jnp.sum(features**2)), 1e-9))
    (weight,) = nearest(cosine[None], params["neighbours"])  # [U]
    given, weights = (weight @ params[name][:, x.id] for name in ("residual", "rated"))
    return params["candidate"][x.id] + given / (weights + params["damping"])


CONTENT_KNN = with_owner_bias(fit, before_ratings)
