"""Factorisation machine on all fields: user id, user features, item id, item features.

Pairs of a user field with an item field interact (Rendle 2010, "Factorization machines", eq. 1, restricted to those
pairs, which is LightFM: Kula 2015, arXiv:1507.08439): a user's vector is the sum of the vectors of the id and of the
features, and so is an item's. A new user has features from the start; the vector and bias of the new user's id are
fitted to the support set by ridge regression (fold-in), around the prediction from the features.

Easily got wrong: training penalises a vector for every rating that it takes part in. In the fold-in of a user with one
rating that would be next to no penalty, and K = 1 worse than K = 0; it has one of its own, the same for any K.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import fold_in
from metarec_jax.priors.bias import fit_biases
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params

REG_BIAS = 5.0  # pseudo-ratings of the biases of ids
ADAM = optax.scale_by_adam()


def score(user: Array, item: Array) -> Array:
    """[N] p . q + b_u + b_i of rows [p, b_u] and [q, b_i], each [N, D + 1]."""
    return jnp.sum(user[:, :-1] * item[:, :-1], axis=1) + user[:, -1] + item[:, -1]


def _loss(tables: Params, data: Params, rows: Array, l2: Array) -> Array:
    """Penalised mean squared error of the ratings `rows` [B]; units of the standard deviation of the ratings."""
    user, item = data["user"][rows], data["item"][rows]
    terms = {
        "user": tables["user"][user],
        "item": tables["item"][item],
        "user_feature": data["user_features"][user] @ tables["user_feature"],
        "item_feature": data["item_features"][item] @ tables["item_feature"],
    }
    predicted = score(terms["user"] + terms["user_feature"], terms["item"] + terms["item_feature"])
    # The penalty of a vector is applied for every rating, so it is proportional to the row's number of ratings, as in
    # ALS-WR; the bias of an id is penalised once.
    vectors = sum(jnp.sum(term[:, :-1] ** 2, axis=1) for term in terms.values())
    biases = terms["user"][:, -1] ** 2 / data["user_count"][user]
    biases += terms["item"][:, -1] ** 2 / data["item_count"][item]
    return jnp.mean((data["rating"][rows] - predicted) ** 2 + l2 * vectors + REG_BIAS * biases)


@jax.jit
def _epoch(state: tuple, data: Params, batches: Array, l2: Array, rates: Array) -> tuple:
    """One epoch of Adam over minibatches [steps, B] of rows, with learning rates `rates` [steps]."""

    def step(state: tuple, now: tuple) -> tuple:
        (tables, moments), (rows, rate) = state, now
        updates, moments = ADAM.update(jax.grad(_loss)(tables, data, rows, l2), moments)
        return (jax.tree.map(lambda table, update: table - rate * update, tables, updates), moments), None

    return jax.lax.scan(step, state, (batches, rates))[0]


def _start(train: Ratings, dim: int, scale: float, seed: int) -> tuple[float, Params]:
    """The mean rating, and initial tables: small random vectors, and the bias model's biases of the ids."""
    mean, item_bias, user_bias = fit_biases(train, REG_BIAS, REG_BIAS)
    sizes = {"user": train.num_users, "item": train.num_items}
    sizes |= {"user_feature": len(train.user_features.names), "item_feature": len(train.item_features.names)}
    rng = np.random.default_rng(seed)
    tables = {name: rng.normal(0.0, 0.1, (size, dim + 1)).astype(np.float32) for name, size in sizes.items()}
    tables["user"][:, -1], tables["item"][:, -1] = user_bias / scale, item_bias / scale
    tables["user_feature"][:, -1] = tables["item_feature"][:, -1] = 0.0
    return mean, tables


def _norm(features: np.ndarray) -> np.float32:
    """Root mean square norm of the rows [M, F], the divisor of features that makes l2 independent of their scale."""
    return np.float32(np.sqrt(np.mean(np.sum(features.astype(np.float64) ** 2, axis=1))) + 1e-6)


def fit(
    train: Ratings,
    *,
    dim: int = 16,
    epochs: int = 15,
    l2: float = 0.1,
    reg: float = 2.0,
    lr: float = 0.01,
    batch: int = 4096,
    seed: int = 0,
) -> Params:
    """Vectors and biases of item ids and of the features of users and items.

    Args:
      train: the training ratings.
      dim: length of a vector.
      epochs: passes over the ratings; the cosine schedule ends with the last.
      l2: penalty of every vector that a rating touches, with ratings in units of their standard deviation.
      reg: penalty of a new user's vector in the fold-in, in the same units, whatever the number of the ratings.
      lr: Adam's initial learning rate.
      batch: ratings a step.
      seed: of initial vectors and shuffles.

    Returns:
      Rows of a vector and a bias, for ratings in units of scale [] around mean []: item [I, dim + 1],
      item_feature [F, dim + 1], user_feature [G, dim + 1], user [dim + 1] the mean row of the training users' ids;
      reg [] of the fold-in.
    """
    return fitted_tables(train, dim, epochs, l2, lr, batch, seed) | {"reg": jnp.float32(reg)}


@functools.lru_cache(maxsize=1)
def fitted_tables(train: Ratings, dim: int, epochs: int, l2: float, lr: float, batch: int, seed: int) -> Params:
    """What `fit` learns, cached: settings that differ in the fold-in only share it."""
    scale = float(train.rating.std()) + 1e-6
    mean, tables = _start(train, dim, scale, seed)
    user_norm, item_norm = _norm(train.user_features.values), _norm(train.item_features.values)
    data = {
        "user": train.user,
        "item": train.item,
        "rating": (train.rating - np.float32(mean)) / np.float32(scale),
        "user_features": train.user_features.values / user_norm,
        "item_features": train.item_features.values / item_norm,
        "user_count": np.bincount(train.user, minlength=train.num_users).astype(np.float32),
        "item_count": np.bincount(train.item, minlength=train.num_items).astype(np.float32),
    }
    batch = min(batch, len(train.rating))
    steps = len(train.rating) // batch
    rates = 0.5 * lr * (1.0 + np.cos(np.pi * np.arange(epochs * steps) / (epochs * steps)))
    state = (tables, ADAM.init(tables))
    for epoch, now in enumerate(rates.astype(np.float32).reshape(epochs, steps)):
        # On the host: XLA's sort, which shuffles on a CPU, takes twice as long as all steps of an epoch together.
        order = np.random.default_rng((seed, epoch)).permutation(len(train.rating))[: steps * batch]  # the rest waits
        state = _epoch(state, data, order.astype(np.int32).reshape(steps, batch), l2, now)
    tables = state[0]
    return {
        "item": tables["item"],
        "item_feature": tables["item_feature"] / item_norm,
        "user_feature": tables["user_feature"] / user_norm,
        "user": tables["user"].mean(axis=0),
        "mean": jnp.float32(mean),
        "scale": jnp.float32(scale),
    }


def item_rows(params: Params, x: Inputs) -> Array:
    """[N, dim + 1] vectors and biases of the candidates."""
    return params["item"][x.id] + x.content @ params["item_feature"]


def prior_row(params: Params, x: Inputs) -> Array:
    """[dim + 1] vector and bias of a new user from the features alone."""
    return params["user"] + x.context @ params["user_feature"]


def adapt(params: Params, support: Examples) -> Fast:
    """`params` and own [dim + 1], the user's deviation from `prior_row`, fitted to the support."""
    items = item_rows(params, support.x)
    rating = (support.y - params["mean"]) / params["scale"]
    residual = rating - score(prior_row(params, support.x)[None], items)
    own = fold_in(items[:, :-1], residual, support.mask, params["reg"], weighted=False, reg_bias=REG_BIAS)
    return {**params, "own": own}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] ratings."""
    user = prior_row(fast, x) + fast["own"]
    return fast["mean"] + fast["scale"] * score(user[None], item_rows(fast, x))


FM = Baseline(fit, adapt, predict)
