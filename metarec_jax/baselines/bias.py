"""User and item biases, r = mu + b_i + b_u (Koren 2010, "Factor in the neighbors", eq. 1), by joint ridge regression.

Minimises sum (r - mu - b_i - b_u)^2 + reg_item sum b_i^2 + reg_user sum b_u^2. mu is not penalised, so the b_u of the
training users sum to 0 and a new user's prior mean is 0. Most other baselines build on these biases.
"""

import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.ops.means import folded_mean
from metarec_jax.priors.bias import fit_biases
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def fit(train: Ratings, *, reg_user: float = 5.0, reg_item: float = 5.0) -> Params:
    """item [I], mu + b_i in rating units, and reg_user []. Both penalties are in pseudo-ratings."""
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
