"""EASE: a linear autoencoder over items without a hidden layer (Steck 2019, arXiv:1905.03375)."""

import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.priors.ease import fitted_weights, popularity_prior
from metarec_jax.priors.statistics import interactions
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def fit(train: Ratings, *, reg: float = 1000.0, liked: bool = True, popularity: float = 1e-3) -> Params:
    """Item-item weights, and a popularity prior of the scores.

    Args:
      train: the training ratings.
      reg: lambda of the paper, in users.
      liked: only ratings of at least the median of the training ratings count, in training and in the support set;
        otherwise all ratings count.
      popularity: weight of the fraction of users who interacted with an item, added to every score, so that the ranking
        at K = 0 is by popularity.

    Returns:
      weights [I, I]; prior [I]; least [], the least rating that counts.

    Raises:
      TooLarge: more items than `statistics.MAX_ITEMS`.
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
