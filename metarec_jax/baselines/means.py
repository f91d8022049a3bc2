"""The four trivial baselines: global mean, user mean, item mean, popularity.

Every other method should beat them. Each `fit` returns a dict of float32 arrays; scalars are arrays too, so that
another setting does not compile again.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.means import folded_mean, shrunk_mean
from metarec_jax.priors.statistics import interactions
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def fit_constant(train: Ratings) -> Params:
    """mean [] of all training ratings."""
    return {"mean": jnp.float32(train.rating.mean(dtype=np.float64))}


def adapt_constant(params: Params, support: Examples) -> Fast:
    """`params`; the support set is not used."""
    return params


def predict_constant(fast: Fast, x: Inputs) -> Array:
    """[N] the mean, for every candidate."""
    return jnp.full(x.id.shape, fast["mean"])


def fit_user_mean(train: Ratings, *, shrink: float = 0.0) -> Params:
    """Global mean [] and `shrink` [], the number of pseudo-ratings at the global mean in a user's mean."""
    return {**fit_constant(train), "shrink": jnp.float32(shrink)}


def adapt_user_mean(params: Params, support: Examples) -> Fast:
    """mean [] of the support set, shrunk to the global mean; the global mean at K = 0."""
    mean = params["mean"]
    return {"mean": mean + folded_mean(support.y - mean, support.mask, params["shrink"])}


def fit_item_mean(train: Ratings, *, shrink: float = 5.0) -> Params:
    """item [I] means, each shrunk to the global mean by `shrink` pseudo-ratings."""
    mean = train.rating.mean(dtype=np.float64)
    return {"item": jnp.float32(mean + shrunk_mean(train.item, train.rating - mean, train.num_items, shrink))}


def fit_popularity(train: Ratings, *, liked: bool = False) -> Params:
    """item [I] the number of training ratings, or with `liked` of those at least the median rating only."""
    interacted, _ = interactions(train, liked)
    return {"item": jnp.float32(np.bincount(train.item[interacted], minlength=train.num_items))}


def adapt_item(params: Params, support: Examples) -> Fast:
    """`params`; the support set is not used."""
    return params


def predict_item(fast: Fast, x: Inputs) -> Array:
    """[N] the item's value, the same for every user."""
    return fast["item"][x.id]


CONSTANT = Baseline(fit_constant, adapt_constant, predict_constant)
USER_MEAN = Baseline(fit_user_mean, adapt_user_mean, predict_constant)
ITEM_MEAN = Baseline(fit_item_mean, adapt_item, predict_item)
POPULARITY = Baseline(fit_popularity, adapt_item, predict_item, output="score")
