"""A Gaussian process (GP) over items in weight space, fitted to a training table."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.priors import gp_population
from metarec_jax.priors.bias import content_weights, fit_biases
from metarec_jax.priors.folds import rotation
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
    """Fit the GP in weight space. `noise`, `bias` and `content` are fractions of the variance of the bias residuals.

    Args:
      train: the training ratings. Memory is 4 U D^2 bytes beyond the item-item matrix, with D = 1 + F + rank.
      rank: of the item covariance; 0 leaves a ridge regression on bias and item features.
      shrink: pseudo-users with covariance 0 for each pair of items.
      noise: initial variance of the noise; every step of EM estimates it again.
      bias, content: prior variances of the user's bias, and of the contribution of all item features together.
      reg_population: ridge penalty on the population's weights, in users.
      reg_by_group: choose a penalty for each group of the users' features by cross-validation (`gp_penalties`),
        starting from `reg_population`.
      em_steps: steps of EM from the covariance's features; more than one or two overfit.
      prior_ratings: pseudo-ratings that shrink an item's features to those before EM.

    Returns:
      Initial values for a meta-learner, all float32 in rating units: phi [I, D], scaled so that the prior covariance of
      the user's weights is the identity; mean [I]; intercept [D] and population [G, D], the prior mean of the weights;
      noise [], a variance. For an item without ratings, phi is a constant plus content @ content_phi [F, D], and mean a
      constant plus content @ content_mean [F].

    Raises:
      TooLarge: rank > 0 and more items than `statistics.MAX_ITEMS`.
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


def rotated(fitted: Params, target: Params, counts: np.ndarray) -> Params:
    """The same process with other coordinates of its weights, in which its features are as near as can be to those of
    `target`, item by item in proportion to its ratings `counts` [I]. The prior N(0, I) of the weights stays as it is.
    """
    turn = jnp.asarray(rotation(np.asarray(fitted["phi"]), np.asarray(target["phi"]), counts))
    return fitted | {name: fitted[name] @ turn for name in ("phi", "content_phi", "intercept", "population")}


def item_means(train: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected ratings [I] of an average user, the users' biases [U], and weights [F] of the content for the former.

    For an item without ratings the expected rating is predicted from its content: a constant plus content @ weights.
    """
    mu, item, user = fit_biases(train, reg_user=5.0, reg_item=5.0)
    side, count = train.item_features.values, np.bincount(train.item, minlength=train.num_items)
    centre, beta = content_weights(side, item, count)
    return (mu + np.where(count > 0, item, (side - centre) @ beta)).astype(np.float32), user, beta


def item_noise(train: Ratings, fitted: Params, prior_ratings: float = 20.0) -> np.ndarray:
    """[I] noise variance of each item's ratings relative to that of all, which the GP assumes to be 1.

    Args:
      train: the training ratings.
      fitted: from `fit`.
      prior_ratings: see `gp_population.item_noise`.
    """
    phi, mean = np.asarray(fitted["phi"]), np.asarray(fitted["mean"])
    population = np.vstack([fitted["intercept"], fitted["population"]])
    users = user_evidence(train, phi, mean, float(fitted["noise"]))
    return gp_population.item_noise(train, users, population, phi, mean, prior_ratings)


_DEFAULTS = {name: setting.default for name, setting in inspect.signature(fit).parameters.items() if name != "train"}


@functools.wraps(fit)
def fitted_gp(train: Ratings, **settings: float) -> Params:
    """`fit`, cached: the grid of the baseline, the learners of a run and the tuning trials of one share settings."""
    return _fitted(train, **_DEFAULTS | settings)


@functools.lru_cache(maxsize=32)
def _fitted(train: Ratings, **settings: float) -> Params:
    with jax.ensure_compile_time_eval():  # the first call may come while a program is being traced
        return fit(train, **settings)


@functools.lru_cache(maxsize=16)
def fitted_noise(train: Ratings, **settings: float) -> np.ndarray:
    """`item_noise` [I] of the GP fitted with these settings, cached."""
    return item_noise(train, fitted_gp(train, **settings))
