"""A Gaussian process over items in weight space, fitted to a training table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.priors import gp_population
from metarec_jax.priors.bias import content_weights, fit_biases
from metarec_jax.priors.gp_features import content_scale, gp_features
from metarec_jax.priors.gp_penalties import group_penalties
from metarec_jax.priors.gp_population import em_step, population_weights, user_evidence
from metarec_jax.types import Params


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
    mu, item, user = fit_biases(train, reg_user=5.0, reg_item=5.0)
    side, count = train.item_features.values, np.bincount(train.item, minlength=train.num_items)
    centre, beta = content_weights(side, item, count)
    return (mu + np.where(count > 0, item, (side - centre) @ beta)).astype(np.float32), user, beta


def item_noise(train: Ratings, fitted: Params, prior_ratings: float = 20.0) -> np.ndarray:
    """[I] the noise of each item's ratings over that of all, which the process takes as 1; see `gp_population`."""
    phi, mean = np.asarray(fitted["phi"]), np.asarray(fitted["mean"])
    population = np.vstack([fitted["intercept"], fitted["population"]])
    users = user_evidence(train, phi, mean, float(fitted["noise"]))
    return gp_population.item_noise(train, users, population, phi, mean, prior_ratings)


@functools.lru_cache(maxsize=4)
def fitted_gp(train: Ratings, **settings: float) -> Params:
    """A fitted Gaussian process; the learners of a run, and the trials of one learner, start from the same few."""
    with jax.ensure_compile_time_eval():  # the first to ask may be a program that is being traced
        return fit(train, **settings)


@functools.lru_cache(maxsize=4)
def fitted_noise(train: Ratings, **settings: float) -> np.ndarray:
    """The noise of the items' ratings around such a process, [I]."""
    return item_noise(train, fitted_gp(train, **settings))
