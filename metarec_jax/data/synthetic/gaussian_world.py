"""Synthetic ratings whose best predictor is known: Gaussian latent factors, and the exact posterior mean of a new user.

    v_j ~ N(W g_j, S)        item vectors, g_j the item's features
    u_i ~ N(M f_i, I)        user vectors, f_i the user's features
    b_j ~ N(0, item_bias^2)  c_i ~ N(0, user_bias^2)
    rating = mean + b_j + c_i + v_j . u_i + N(0, noise^2), neither rounded nor clipped

Which items a user rates depends on their popularity alone, never on the ratings: ratings are missing completely at
random. Given the items, a user is a Bayesian linear regression (Bishop, Pattern Recognition and Machine Learning,
section 3.3), so no learner can beat `bayes_optimal` in expected squared error. It is a lower bound for the others.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from metarec_jax.data.table import Features, Ratings, build
from metarec_jax.ops.linear import solve_positive_definite
from metarec_jax.types import Array, Baseline, Examples, Inputs


@dataclasses.dataclass(frozen=True)
class World:
    """The ratings table and the parameters it was drawn from. Row i of an array is user i or item i of the table."""

    ratings: Ratings
    mean: float
    noise: float  # standard deviation, in rating units
    user_bias_scale: float  # standard deviation of user_bias
    user_vectors: np.ndarray  # [U, D] float64
    user_bias: np.ndarray  # [U]
    user_map: np.ndarray  # [D, G] M: user features -> mean user vector
    item_vectors: np.ndarray  # [I, D]
    item_bias: np.ndarray  # [I]
    item_map: np.ndarray  # [D, F] W: item features -> mean item vector
    item_cov: np.ndarray  # [D, D] S


class Truth(NamedTuple):
    """What `bayes_optimal` knows. The user's unknowns are z = (u, c / user_bias_scale), so that their prior covariance
    is the identity."""

    mean: Array  # []
    noise: Array  # []
    design: Array  # [I, D + 1] a_j = (v_j, user_bias_scale): rating = mean + b_j + a_j . z + noise
    item_bias: Array  # [I]
    prior: Array  # [D + 1, G] user features -> prior mean of z


class Posterior(NamedTuple):
    """The posterior of a user after some ratings: z ~ N(cov (prior mean + evidence), cov)."""

    truth: Truth
    cov: Array  # [D + 1, D + 1]
    evidence: Array  # [D + 1]


def make_world(
    seed: int,
    *,
    users: int = 500,
    items: int = 200,
    ratings_per_user: int = 30,
    dims: int = 4,
    user_groups: int = 5,
    item_groups: int = 6,
    mean: float = 3.5,
    noise: float = 0.5,
    user_bias: float = 0.4,
    item_bias: float = 0.4,
    item_scale: float = 0.5,
    feature_scale: float = 0.5,
    popularity: float = 1.0,
) -> World:
    """Draw a world.

    Args:
      seed: of numpy's generator; the same seed and sizes give the same world.
      users, items, ratings_per_user: sizes; every user rates the same number of items, and every item is rated.
      dims: D, the length of the vectors.
      user_groups, item_groups: G and F, numbers of feature columns; a user is in one group, an item in any
        number.
      mean, noise, user_bias, item_bias: see the module docstring; the last three are standard deviations in rating
        units.
      item_scale: standard deviation of an item vector's entries around their mean.
      feature_scale: standard deviation of the entries of M; times item_scale, of W.
      popularity: standard deviation of the items' log-popularity.

    Raises:
      ValueError: more ratings a user than items, too few ratings to cover all items, or noise <= 0.
    """
    if not (ratings_per_user <= items <= users * ratings_per_user):
        raise ValueError(f"{users} users x {ratings_per_user} ratings cannot cover {items} items once a user.")
    if noise <= 0:
        raise ValueError(f"noise must be positive, got {noise}.")
    rng = np.random.default_rng(seed)
    f = np.eye(user_groups)[rng.integers(user_groups, size=users)]
    g = (rng.random((items, item_groups)) < 0.3).astype(float)
    user_map = feature_scale * rng.normal(size=(dims, user_groups))
    item_map = feature_scale * item_scale * rng.normal(size=(dims, item_groups))
    mixing = item_scale * (np.eye(dims) + 0.3 * rng.normal(size=(dims, dims)))
    u = f @ user_map.T + rng.normal(size=(users, dims))
    v = g @ item_map.T + rng.normal(size=(items, dims)) @ mixing.T
    b, c = item_bias * rng.normal(size=items), user_bias * rng.normal(size=users)
    chosen = _chosen_items(rng, users, items, ratings_per_user, popularity)
    user, item = np.repeat(np.arange(users), ratings_per_user), chosen.ravel()
    signal = mean + b[item] + c[user] + np.sum(u[user] * v[item], axis=1)
    ratings = _table(user, item, signal + noise * rng.normal(size=len(user)), f, g, f"synthetic-{seed}")
    return World(ratings, mean, noise, user_bias, u, c, user_map, v, b, item_map, mixing @ mixing.T)


def _chosen_items(rng: np.random.Generator, users: int, items: int, per_user: int, popularity: float) -> np.ndarray:
    """[users, per_user] distinct items a user, popular ones more often (Gumbel top-k), each at least once."""
    keys = rng.gumbel(size=(users, items)) + popularity * rng.normal(size=items)
    item = np.arange(items)
    keys[item % users, item] = np.inf  # user j mod users always rates item j
    chosen = np.argpartition(-keys, per_user - 1, axis=1)[:, :per_user]
    return rng.permuted(chosen, axis=1)


def _table(user: np.ndarray, item: np.ndarray, rating: np.ndarray, f: np.ndarray, g: np.ndarray, name: str) -> Ratings:
    frame = pl.DataFrame({"user": user, "item": item, "rating": rating}).cast(
        {"user": pl.String, "item": pl.String, "rating": pl.Float32}
    )

    def features(group: str, values: np.ndarray) -> tuple[list[str], Features]:
        names = tuple(f"{group}={k}" for k in range(values.shape[1]))
        # Ids are the world's numbers, which the table orders by value: its indices are the world's.
        return [str(row) for row in range(len(values))], Features(names, values.astype(np.float32))

    return build(
        name,
        frame,
        source="metarec_jax.data.synthetic",
        user_features=features("segment", f),
        item_features=features("genre", g),
    )


def bayes_optimal(world: World) -> Baseline:
    """The exact posterior mean of a new user's ratings, given all parameters but the user's own. Tasks are users.

    `adapt` reads the support's item ids and ratings; `predict` reads item ids and the user's features from the context,
    so an empty support gives the prior mean. `fit` learns nothing and returns the true parameters as jax arrays.

    Raises (from fit):
      ValueError: the training table has other items than the world.
    """

    def fit(train: Ratings) -> Truth:
        if not np.array_equal(train.item_ids, world.ratings.item_ids):
            raise ValueError(f"{train.name} has other items than the world of {world.ratings.name}.")
        scale = np.full((len(world.item_bias), 1), world.user_bias_scale)
        return Truth(
            mean=jnp.float32(world.mean),
            noise=jnp.float32(world.noise),
            design=jnp.asarray(np.hstack([world.item_vectors, scale]), jnp.float32),
            item_bias=jnp.asarray(world.item_bias, jnp.float32),
            prior=jnp.asarray(np.pad(world.user_map, ((0, 1), (0, 0))), jnp.float32),
        )

    return Baseline(fit, _adapt, _predict)


def _adapt(truth: Truth, support: Examples) -> Posterior:
    a = truth.design[support.x.id]
    residual = jnp.where(support.mask > 0, support.y - truth.mean - truth.item_bias[support.x.id], 0.0)
    weighted = a * (support.mask / truth.noise**2)[:, None]
    precision = jnp.eye(a.shape[1]) + a.T @ weighted  # Bishop (3.51), with unit prior precision
    cov = jax.vmap(partial(solve_positive_definite, precision))(jnp.eye(a.shape[1]))  # its inverse, row by row
    return Posterior(truth, cov, weighted.T @ residual)


def _predict(posterior: Posterior, x: Inputs) -> Array:
    truth = posterior.truth
    z = posterior.cov @ (truth.prior @ x.context + posterior.evidence)  # Bishop (3.50)
    return truth.mean + truth.item_bias[x.id] + truth.design[x.id] @ z
