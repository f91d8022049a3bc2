"""Logistic head: Bayesian logistic regression of one task, by Newton steps to the mode and Laplace's approximation.

This is textbook Bayesian logistic regression (MacKay 1992; Bishop 2006, section 4.5) in the place of the ridge head of
Bertinetto et al. 2019, arXiv:1805.08136, who also solve their logistic head LR-D2 by a few Newton steps (iteratively
reweighted least squares). With weights w ~ N(0, I) on the network's features, s = 4 / (high - low) and t = (y - low) /
(high - low), a rating is a soft label:
    p_i = sigmoid(logit(prior mean_i) + s features_i . w),
    w = argmax sum_i (t_i log p_i + (1 - t_i) log(1 - p_i)) / d - |w|^2 / 2.
A Newton step is a ridge regression with noise d / (p_i (1 - p_i)) on s features_i . w + (t_i - p_i) / (p_i (1 - p_i)).
The rating low + (high - low) p stays within the scale; that of a linear head may leave it.

Easily got wrong: the dispersion d. A rating of 3 of 5 is not a fair coin: ratings vary less around their mean than
coins do, so one of them is more informative. The dispersion of a quasi-binomial model is learnt here, as
4 noise / (high - low)^2, where noise is the variance of a rating whose p is 1/2. With s, features and noise have the
units of the ridge head's, and `ridge.from_gaussian_process` also starts this learner. The number of Newton steps is
fixed, so that gradients flow through them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.objectives import Objective, query_loss
from metarec_jax.ops.linear import gaussian_posterior, ridge_weights
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params

EDGE = 0.02  # a prior mean keeps this fraction of the scale away from its ends, where the logit is infinite


def logistic(
    net: nn.Module, objective: Objective, *, low: float, high: float, steps: int = 4, noise: float = 1.0
) -> Learner:
    """The logistic head on a network; outputs are ratings [N] within low..high, at the mode of the weights.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      low, high: the ends of the rating scale, kept as data under `params.FIXED`.
      steps: Newton steps from the prior mean.
      noise: initial noise variance in the middle of the scale, in squared units of y; learnt.
    """

    def ends(params: Params) -> tuple[Array, Array]:
        own = params[FIXED]
        return own["low"], own["high"] - own["low"]

    def inputs(params: Params, x) -> tuple[Array, Array]:
        features, mean = net.apply({"params": params["net"]}, x)
        low, span = ends(params)
        fraction = jnp.clip((mean - low) / span, EDGE, 1.0 - EDGE)
        return 4.0 / span * features, jnp.log(fraction) - jnp.log1p(-fraction)

    def init(key: Array, episode: Episode) -> Params:
        scale = {"low": jnp.float32(low), "high": jnp.float32(high)}
        own = {"net": net.init(key, episode.support.x)["params"], "log_noise": jnp.log(jnp.float32(noise))}
        return own | {FIXED: scale}

    def adapt(params: Params, support: Examples) -> Fast:
        features, prior = inputs(params, support.x)
        low, span = ends(params)
        label = (support.y - low) / span
        dispersion = 4.0 / span**2 * jnp.exp(params["log_noise"])

        def newton(weights: Array, _) -> tuple[Array, None]:
            linear = features @ weights
            p = jax.nn.sigmoid(prior + linear)
            slope = slope_at(p)
            return ridge_weights(features, linear + (label - p) / slope, support.mask, dispersion / slope), None

        weights, _ = jax.lax.scan(newton, jnp.zeros_like(features, shape=features.shape[-1]), length=steps)
        slope = slope_at(jax.nn.sigmoid(prior + features @ weights))
        identity = jnp.eye(features.shape[-1], dtype=features.dtype)
        _, covariance = gaussian_posterior(features, label, support.mask, dispersion / slope, identity)
        return params | {"weights": weights, "covariance": covariance, "dispersion": dispersion}

    def predict(fast: Fast, x) -> Array:
        features, prior = inputs(fast, x)
        low, span = ends(fast)
        return low + span * jax.nn.sigmoid(prior + features @ fast["weights"])

    def variance(fast: Fast, x) -> Array:
        features, prior = inputs(fast, x)
        slope = slope_at(jax.nn.sigmoid(prior + features @ fast["weights"]))
        spread = jnp.sum(features @ fast["covariance"] * features, -1)
        return ends(fast)[1] ** 2 * (fast["dispersion"] * slope + jnp.square(slope) * spread)

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective), variance)


def slope_at(p: Array) -> Array:
    """Slope p (1 - p) of the logistic function at its value p, bounded away from 0 because it is divided by."""
    return jnp.maximum(p * (1.0 - p), 1e-4)
