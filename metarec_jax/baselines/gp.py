"""Gaussian process (GP) over items in weight space, the strongest closed-form baseline and a prior of meta-learners.

A user's rating of item i is prior_i + phi_i . w + noise with w ~ N(0, I), so the kernel between items is
phi_i . phi_j: bias + content + shrunk item covariance (`priors.gp_features`). The prior mean depends on the user's
features,
    prior_i = mean_i + phi_i . (intercept + context @ population),
with weights fitted to the training users (`priors.gp_population`).
"""

import jax.numpy as jnp

from metarec_jax.ops.linear import absorb, relax, ridge_covariance, ridge_weights
from metarec_jax.priors.gp import fit
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def prior_mean(params: Params, x: Inputs) -> Array:
    """[N] expected ratings of a user without ratings, from the user's features."""
    weights = params["intercept"] + x.context @ params["population"]  # [D]
    return params["mean"][x.id] + params["phi"][x.id] @ weights


def adapt(params: Params, support: Examples) -> Fast:
    """`params`, and the posterior of the user's deviation from the prior mean: weights [D] and covariance [D, D]."""
    residual = support.y - prior_mean(params, support.x)
    weights = ridge_weights(params["phi"][support.x.id], residual, support.mask, params["noise"])
    covariance = ridge_covariance(params["phi"][support.x.id], support.mask, params["noise"])
    return {**params, "weights": weights, "covariance": covariance}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] posterior mean ratings."""
    return prior_mean(fast, x) + fast["phi"][x.id] @ fast["weights"]


def update(fast: Fast, new: Examples) -> Fast:
    """`fast` after more ratings; the same as if they had been in the support."""
    residual = new.y - prior_mean(fast, new.x)
    state, phi = (fast["weights"], fast["covariance"]), fast["phi"][new.x.id]
    weights, covariance = absorb(*state, phi, residual, new.mask, fast["noise"])
    return fast | {"weights": weights, "covariance": covariance}


def forget(fast: Fast, fraction: Array) -> Fast:
    """`fast` after some time: `fraction` of the user's deviation from the prior remains; see `ops.linear.relax`."""
    mean, prior = jnp.zeros_like(fast["weights"]), jnp.eye(len(fast["weights"]))
    weights, covariance = relax(fast["weights"], fast["covariance"], mean, prior, fraction)
    return fast | {"weights": weights, "covariance": covariance}


GP = Baseline(fit, adapt, predict, update=update, forget=forget)
