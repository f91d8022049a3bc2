"""ALPaCA: Bayesian linear regression on learnt features. Harrison, Sharma and Pavone 2018, arXiv:1807.08912.

A rating is m(x) + phi(x) . w + noise, with w ~ N(w0, L0^-1) for each task. Given the support, the posterior of w has
    precision L = L0 + Phi' Phi / noise,    mean w0 + L^-1 Phi' (y - m - Phi w0) / noise    (eqs. 7 and 8),
and a new rating is normal with mean m + phi . w and variance noise + phi' L^-1 phi (eq. 9). phi, m, w0, the factor of
L0 and the noise are meta-learnt by the negative log density of the query's ratings (eq. 12), here per example. This
learner is made for online use: `update` takes one more rating by a rank-one step on the covariance (Sherman and
Morrison), which is exact, costs O(D^2) and needs none of the old ratings.

Easily got wrong: the loss is the log density with its log-variance, not the squared error; otherwise the variance is
never fitted.

Differs from the paper: there L is in units of the noise, w ~ N(w0, noise L0^-1), and the noise is given. In the units
here the prior does not change when the noise is learnt. m(x) is an addition: the paper has only phi(x) . w0.
"""

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.objectives import gaussian_nll, query_loss
from metarec_jax.ops.linear import absorb, gaussian_posterior, inverse_and_log_determinant, relax
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def alpaca(net: nn.Module, *, noise: float = 1.0) -> Learner:
    """ALPaCA on a network; outputs are posterior means [N], `variance` is that of a new rating, noise included.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean m [N]), for example `TasteNet`.
      noise: initial noise variance, in squared units of y; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        (features, _), variables = net.init_with_output(key, episode.support.x)
        dim = features.shape[-1]
        return {
            "net": variables["params"],
            "prior_mean": jnp.zeros(dim),
            "prior_factor": jnp.eye(dim),  # L0 is factor factor'
            "log_noise": jnp.log(jnp.float32(noise)),
        }

    def adapt(params: Params, support: Examples) -> Fast:
        features, mean = net.apply({"params": params["net"]}, support.x)
        factor, prior, noise = params["prior_factor"], params["prior_mean"], jnp.exp(params["log_noise"])
        residual = support.y - mean - features @ prior
        precision = jnp.matmul(factor, factor.T, precision="highest")
        change, covariance = gaussian_posterior(features, residual, support.mask, noise, precision)
        own = {"weights": prior + change, "covariance": covariance}
        return own | {"net": params["net"], "noise": noise, "prior": prior, "precision": precision}

    def predict(fast: Fast, x) -> Array:
        features, mean = net.apply({"params": fast["net"]}, x)
        return mean + features @ fast["weights"]

    def variance(fast: Fast, x) -> Array:
        features, _ = net.apply({"params": fast["net"]}, x)
        return fast["noise"] + jnp.sum(features @ fast["covariance"] * features, -1)

    def update(fast: Fast, new: Examples) -> Fast:
        features, mean = net.apply({"params": fast["net"]}, new.x)
        state = (fast["weights"], fast["covariance"])
        weights, covariance = absorb(*state, features, new.y - mean, new.mask, fast["noise"])
        return fast | {"weights": weights, "covariance": covariance}

    def forget(fast: Fast, fraction: Array) -> Fast:
        prior, _ = inverse_and_log_determinant(fast["precision"])
        weights, covariance = relax(fast["weights"], fast["covariance"], fast["prior"], prior, fraction)
        return fast | {"weights": weights, "covariance": covariance}

    def density(fast: Fast, x) -> tuple[Array, Array]:
        return predict(fast, x), variance(fast, x)

    return Learner(init, adapt, predict, query_loss(adapt, density, gaussian_nll), variance, update, forget)
