"""Gaussian process over items in weight space: the strongest closed-form competitor, and a start for meta-learners.

A user's rating of item i is prior_i + phi_i . w + noise with w ~ N(0, I), so the kernel between items is
phi_i . phi_j: bias + content + shrunk item covariance (`gp_features.py`). The prior depends on who the user is,
    prior_i = mean_i + phi_i . (intercept + context @ population),
which is a user-feature x item kernel whose weights were learnt from the training users (`gp_population.py`).
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines import bias as bias_model
from metarec_jax.baselines import gp_population
from metarec_jax.baselines.gp_features import content_scale, gp_features
from metarec_jax.baselines.gp_penalties import group_penalties
from metarec_jax.baselines.gp_population import em_step, population_weights, user_evidence
from metarec_jax.data.table import Ratings
from metarec_jax.linear import absorb, relax, ridge_covariance, ridge_weights
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def fit(
    train: Ratings,
    *,
    rank: int = 32,
    shrink: float = 50.0,
    noise: float = 0.9,
    bias: float = 0.12,
    content: float = 0.07,
    reg_population: float = 60.0,
    em_steps: int = 1,
    prior_ratings: float = 100.0,
    reg_by_group: bool = False,
) -> Params:
    """The fitted weight-space process; `noise`, `bias` and `content` are shares of the variance of the bias residuals.

    Args:
      train: the training ratings. Memory is 4 U D^2 bytes beyond the item-item matrix, with D = 1 + F + rank.
      rank: of the item covariance; 0 leaves a ridge regression on bias and item features.
      shrink: pseudo-users at covariance 0 for each pair of items.
      noise: variance of the noise to start from; every step of EM estimates it anew.
      bias, content: prior variances of the user's bias, and of what the item features together explain.
      reg_population: ridge penalty on the population's weights, in users.
      reg_by_group: choose a penalty for each group of the users' features by cross-validation (`gp_penalties`),
        starting from `reg_population`.
      em_steps: steps of EM from the covariance's features; more than one or two overfit.
      prior_ratings: pseudo-ratings that hold an item's features where they were before EM.

    Returns:
      What a meta-learner may start from, all float32 in rating units: phi [I, D], scaled so that the prior covariance
      of the user's weights is the identity; mean [I]; intercept [D] and population [G, D], the prior mean of the
      weights; noise [], a variance. Of an item without ratings phi is a constant plus content @ content_phi [F, D],
      and mean a constant plus content @ content_mean [F].

    Raises:
      ValueError: rank > 0 and more items than `item_statistics.MAX_ITEMS`.
    """
    mean, user, beta = item_means(train)
    side, residual = train.item_features.values, train.rating - mean[train.item] - user[train.user]
    unit = float(np.mean(residual**2)) + 1e-6
    variance = noise * unit
    phi = gp_features(
        train, residual, rank=rank, shrink=shrink, noise=variance, bias=bias * unit, content=content * unit
    )
    users = user_evidence(train, phi, mean, variance)
    population = population_weights(users, reg_population)
    for _ in range(em_steps):
        phi, variance = em_step(train, users, population, phi, mean, prior_ratings)
        users = user_evidence(train, phi, mean, variance)
        population = population_weights(users, reg_population)
    if reg_by_group:
        population = population_weights(users, group_penalties(train, users, phi, mean, reg_population))
    return {
        "phi": jnp.float32(phi),
        "mean": jnp.float32(mean),
        "content_phi": jnp.float32(content_scale(side, content * unit) * np.eye(side.shape[1], phi.shape[1], k=1)),
        "content_mean": jnp.float32(beta),
        "intercept": jnp.float32(population[0]),
        "population": jnp.float32(population[1:]),
        "noise": jnp.float32(variance),
    }


def item_means(train: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected ratings [I] of an average user, the users' biases [U], and what content says of the former, [F].

    An item that nobody has rated has the bias that its content foretells: a constant plus content @ the last.
    """
    mu, item, user = bias_model.fit_biases(train, reg_user=5.0, reg_item=5.0)
    side, count = train.item_features.values, np.bincount(train.item, minlength=train.num_items)
    centre, beta = bias_model.content_weights(side, item, count)
    return (mu + np.where(count > 0, item, (side - centre) @ beta)).astype(np.float32), user, beta


def item_noise(train: Ratings, fitted: Params, prior_ratings: float = 20.0) -> np.ndarray:
    """[I] the noise of each item's ratings over that of all, which the process takes as 1; see `gp_population`."""
    phi, mean = np.asarray(fitted["phi"]), np.asarray(fitted["mean"])
    population = np.vstack([fitted["intercept"], fitted["population"]])
    users = user_evidence(train, phi, mean, float(fitted["noise"]))
    return gp_population.item_noise(train, users, population, phi, mean, prior_ratings)


def prior_mean(params: Params, x: Inputs) -> Array:
    """[N] expected ratings of a user of whom only the features are known."""
    weights = params["intercept"] + x.context @ params["population"]  # [N, D]
    return params["mean"][x.id] + jnp.sum(params["phi"][x.id] * weights, axis=1)


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
    """`fast` after more ratings, as if they had been in the support."""
    residual = new.y - prior_mean(fast, new.x)
    state, phi = (fast["weights"], fast["covariance"]), fast["phi"][new.x.id]
    weights, covariance = absorb(*state, phi, residual, new.mask, fast["noise"])
    return fast | {"weights": weights, "covariance": covariance}


def forget(fast: Fast, share: Array) -> Fast:
    """`fast` after a time in which `share` of the user's deviation from the prior is left; see `linear.relax`."""
    mean, prior = jnp.zeros_like(fast["weights"]), jnp.eye(len(fast["weights"]))
    weights, covariance = relax(fast["weights"], fast["covariance"], mean, prior, share)
    return fast | {"weights": weights, "covariance": covariance}


GP = Baseline(fit, adapt, predict, update=update, forget=forget)
