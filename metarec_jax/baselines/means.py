"""The references that know no interaction: global mean, user mean, item mean, popularity.

A figure that does not beat these has shown nothing. Each `fit` returns a dict of float32 arrays whose scalars are
arrays too, so that another setting does not compile again.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines.item_statistics import interactions
from metarec_jax.data.table import Ratings
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def shrunk_mean(index: np.ndarray, values: np.ndarray, size: int, shrink: float) -> np.ndarray:
    """Means of `values` [R] by group, pulled to 0 by `shrink` pseudo-observations of 0.

    Returns [size] float64; a group without members gets 0, also where `shrink` is 0.
    """
    total = np.bincount(index, weights=values, minlength=size)
    count = np.bincount(index, minlength=size) + shrink
    return np.divide(total, count, out=np.zeros(size), where=count > 0)


def folded_mean(residual: Array, mask: Array, shrink: Array) -> Array:
    """Mean of the real entries of `residual` [K], pulled to 0 by `shrink` pseudo-ratings; 0 where there are none."""
    return jnp.sum(mask * residual) / jnp.maximum(mask.sum() + shrink, 1e-6)


def fit_constant(train: Ratings) -> Params:
    """mean [] of all training ratings."""
    return {"mean": jnp.float32(train.rating.mean(dtype=np.float64))}


def adapt_constant(params: Params, support: Examples) -> Fast:
    """The support set changes nothing."""
    return params


def predict_constant(fast: Fast, x: Inputs) -> Array:
    """[N] the same number everywhere."""
    return jnp.full(x.id.shape, fast["mean"])


def fit_user_mean(train: Ratings, *, shrink: float = 0.0) -> Params:
    """Global mean [] and `shrink` [], the number of pseudo-ratings at the global mean that a user starts with."""
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
    """item [I] the number of training ratings, or only of those that `item_statistics.interactions` calls liked."""
    interacted, _ = interactions(train, liked)
    return {"item": jnp.float32(np.bincount(train.item[interacted], minlength=train.num_items))}


def adapt_item(params: Params, support: Examples) -> Fast:
    """The support set changes nothing."""
    return params


def predict_item(fast: Fast, x: Inputs) -> Array:
    """[N] one number an item, whoever asks."""
    return fast["item"][x.id]


CONSTANT = Baseline(fit_constant, adapt_constant, predict_constant)
USER_MEAN = Baseline(fit_user_mean, adapt_user_mean, predict_constant)
ITEM_MEAN = Baseline(fit_item_mean, adapt_item, predict_item)
POPULARITY = Baseline(fit_popularity, adapt_item, predict_item, output="score")
