"""Meta-learnt ridge head: a task's own weights in closed form, everything else by meta-gradients through the solution.

Bertinetto et al. 2019, arXiv:1805.08136 (R2-D2), as the posterior mean of Bayesian linear regression: prior w ~ N(0, I)
on the network's features, noise learnt. Bias and factors of a user are solved jointly (one of the features is
constant), in a K x K system by the Woodbury identity: w = Phi' (Phi Phi' + noise I)^-1 (y - prior mean).

It can START from a fitted Gaussian process (`from_gaussian_process`) and then has the posterior of that process.
Meta-training moves whatever is learnt of the network, and the noise, to what predicts best after K ratings; with
`models.trust.TrustedTaste`, how far each part of the process is to be trusted. It can also learn what the classical
methods cannot express: WHICH items somebody chose to rate is informative about the taste before the ratings are read
(`ChoicePrior`; the implicit feedback of SVD++, Koren 2008).
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.learners.closed_form.linear_taste import LinearTaste
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.ops.linear import absorb, relax, ridge_covariance, ridge_weights
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def ridge(
    net: nn.Module,
    objective: Objective,
    *,
    noise: float = 1.0,
    prior: nn.Module | None = None,
    item_noise: nn.Module | None = None,
) -> Learner:
    """The ridge head on a network; outputs are ratings [N], `variance` is that of a new rating, noise included.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      noise: initial noise variance, in squared units of y; learnt.
      prior, item_noise: see `linear_taste.LinearTaste`.
    """

    parts = LinearTaste(net, prior, item_noise)

    def init(key: Array, episode: Episode) -> Params:
        return parts.init(key, episode, noise)

    def variance(fast: Fast, x) -> Array:
        features, _ = parts.features(fast, x)
        return parts.noise_variance(fast, x) + jnp.sum(features @ fast["covariance"] * features, -1)

    adapt, update = partial(_adapt, parts), partial(_update, parts)
    loss = query_loss(adapt, parts.predict, objective)
    return Learner(init, adapt, parts.predict, loss, variance, update, _forget)


def _adapt(parts: LinearTaste, params: Params, support: Examples) -> Fast:
    features, mean = parts.features(params, support.x)
    fast = params | parts.expecting(params, support, features.shape[-1])
    noise, expected = parts.noise_variance(params, support.x), fast["expected"]
    own = ridge_weights(features, support.y - mean - features @ expected, support.mask, noise)
    covariance = ridge_covariance(features, support.mask, noise)
    # The posterior mean is linear in the prior mean, and this is its slope; after a drift no longer the covariance.
    slope = {} if parts.prior is None else {"slope": covariance}
    return fast | {"weights": expected + own, "covariance": covariance} | slope


def _update(parts: LinearTaste, fast: Fast, new: Examples) -> Fast:
    features, mean = parts.features(fast, new.x)
    before, noise = fast["covariance"], parts.noise_variance(fast, new.x)
    if parts.prior is not None:
        summary = fast["summary"] + parts.apply_prior(fast, "summary", new.x, new.mask)
        expected = parts.apply_prior(fast, "expect", summary)
        moved = fast["weights"] + fast["slope"] @ (expected - fast["expected"])
        # What an example does to a mean it does to the mean's slope, for which the rating is a constant, so 0.
        slope, _ = absorb(fast["slope"], before, features, jnp.zeros_like(features), new.mask, noise)
        fast = fast | {"summary": summary, "expected": expected, "weights": moved, "slope": slope}
    weights, covariance = absorb(fast["weights"], before, features, new.y - mean, new.mask, noise)
    return fast | {"weights": weights, "covariance": covariance}


def _forget(fast: Fast, fraction: Array) -> Fast:
    prior_covariance = jnp.eye(len(fast["weights"]))
    weights, covariance = relax(fast["weights"], fast["covariance"], fast["expected"], prior_covariance, fraction)
    slope = {"slope": prior_covariance + fraction * (fast["slope"] - prior_covariance)} if "slope" in fast else {}
    return fast | {"weights": weights, "covariance": covariance} | slope


def from_gaussian_process(params: Params, fitted: Params, mean: float, content: Array) -> Params:
    """The learner's parameters, set so that its predictions are those of a fitted Gaussian process.

    Args:
      params: from `ridge(TasteNet(num_ids=I, mean=mean, dim=D), ...).init`, with or without a `ChoicePrior`, or from
        another learner on that network. A learner whose prior is N(0, I) at first and whose noise is "log_noise"
        (`logistic`, `deep_kernel`, `alpaca`) has the predictions of the Gaussian process then; others start from its
        features and prior mean. All other parameters stay as they are.
      fitted: what `priors.gp.fit` returned.
      mean: the `TasteNet`'s.
      content: [I, F] the items' side features.
    """
    net, phi, shift = dict(params["net"]), fitted["phi"], fitted["mean"] + fitted["phi"] @ fitted["intercept"]
    if "content_taste" in net:  # the part due to content stays a function of content, for items without ratings
        taste = fitted["content_phi"]
        content_mean = fitted["content_mean"] + taste @ fitted["intercept"]
        net |= {"content_taste": {"kernel": taste}, "content_bias": {"kernel": content_mean[:, None]}}
        phi, shift = phi - content @ taste, shift - content @ content_mean
    centre = jnp.mean(phi, 0)
    net |= {
        "centre": centre,
        "id_taste": {"table": phi - centre},
        "id_bias": {"table": (shift - mean)[:, None]},
    }
    if "context_taste" in net:
        net["context_taste"] = {"kernel": fitted["population"]}
    noise = {"log_noise": jnp.log(fitted["noise"])} if "log_noise" in params else {}
    return params | {"net": net, **noise}
