"""Prototypical Networks. Snell, Swersky and Zemel 2017, arXiv:1703.05175.

`protonet` is the classifier of the paper: p_c is the mean of the class's embedded support (eq. 1) and
p(y = c | x) = softmax over classes of -d(f(x), p_c) (eq. 2), where d is the SQUARED Euclidean distance.
`protonet_ratings` applies this to a rating scale: each rating level has a prototype from the task's own ratings, shrunk
to a learnt global one.
"""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.ops.similarity import unit
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params

Distance = Literal["squared_euclidean", "euclidean", "cosine"]


def distances(points: Array, prototypes: Array, distance: Distance) -> Array:
    """Distance of each point [N, D] to each prototype [C, D]: [N, C]. "cosine" is 1 - cosine similarity.

    Raises:
      ValueError: an unknown `distance`.
    """
    if distance == "cosine":
        return 1.0 - unit(points) @ unit(prototypes).T
    if distance == "squared_euclidean":  # a matrix product; differences would be [N, C, D]
        lengths = jnp.sum(jnp.square(points), -1)[:, None] + jnp.sum(jnp.square(prototypes), -1)
        return lengths - 2.0 * points @ prototypes.T
    squared = jnp.sum(jnp.square(points[:, None, :] - prototypes[None, :, :]), -1)
    if distance == "euclidean":
        return jnp.sqrt(squared + 1e-12)  # a point may lie on its prototype, and the slope of the root at 0 is infinite
    raise ValueError(f"distance {distance!r} is none of squared_euclidean, euclidean, cosine")


def class_sums(embedded: Array, classes: Array, mask: Array, ways: int) -> tuple[Array, Array]:
    """Sum of the embedded support of each class [C, D] and its size [C], from [N, D], classes [N] and mask [N]."""
    member = jax.nn.one_hot(classes, ways, dtype=embedded.dtype) * mask[:, None]
    return member.T @ embedded, jnp.sum(member, 0)


def level_params(key: Array, levels: Sequence[float], dim: int, prior_count: float) -> Params:
    """What the levels of a task are shrunk to, and how strongly, which is learnt; and the levels.

    Args:
      key: of the random prototypes.
      levels: the L rating levels.
      dim: of the embeddings.
      prior_count: initial pseudo-counts of prototypes and of level fractions.

    Returns:
      Global prototypes [L, dim], logits [L] of the global fractions of the levels, and logarithms of both
      pseudo-counts; under `params.FIXED` the levels [L].
    """
    return {
        "prototypes": 0.5 * jax.random.normal(key, (len(levels), dim)),
        "log_count": jnp.log(jnp.float32(prior_count)),
        "log_share_count": jnp.log(jnp.float32(prior_count)),
        "shares": jnp.zeros(len(levels)),  # logits
        FIXED: {"levels": jnp.asarray(levels, jnp.float32)},
    }


def level_sums(embedded: Array, support: Examples, values: Array) -> tuple[Array, Array]:
    """Sum of the embedded support of each rating level [L, D] and its size [L]; those of two supports add up.

    Args:
      embedded: [N, D] the support.
      support: its ratings and mask; a rating counts for the nearest level.
      values: [L] the levels.
    """
    nearest = jnp.argmin(jnp.abs(support.y[:, None] - values), -1)
    return class_sums(embedded, nearest, support.mask, len(values))


def shrunk_levels(params: Params, sums: Array, counts: Array) -> tuple[Array, Array]:
    """Prototypes [L, D] and log fractions [L] of a task's rating levels, shrunk to the global ones.

    Args:
      params: with the entries of `level_params`.
      sums, counts: from `level_sums`.
    """
    count, fraction_count = jnp.exp(params["log_count"]), jnp.exp(params["log_share_count"])
    prototypes = (count * params["prototypes"] + sums) / (count + counts)[:, None]
    fractions = (fraction_count * jax.nn.softmax(params["shares"]) + counts) / (fraction_count + jnp.sum(counts))
    return prototypes, jnp.log(fractions)


def protonet(
    net: nn.Module,
    objective: Objective,
    *,
    ways: int,
    distance: Distance = "squared_euclidean",
    turns: bool = False,
) -> Learner:
    """The classifier of the paper. Outputs are log-probabilities [N, ways]; y are classes 0..ways-1.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: `objectives.cross_entropy` in the paper.
      ways: number of classes C. A class without support gets probability 0, so an episode may have fewer.
      distance: squared Euclidean in the paper; cosine has a learnt temperature.
      turns: in training the examples of a class take turns as its support (see `embedding.on_embeddings`).
    """

    def init(key: Array, embedded: Array) -> Params:
        return {"log_temperature": jnp.zeros(())}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        sums, counts = class_sums(embedded, support.y, support.mask, ways)
        return {"prototypes": sums / jnp.maximum(counts, 1.0)[:, None], "empty": counts == 0}

    def predict(fast: Fast, embedded: Array) -> Array:
        temperature = jnp.exp(fast["log_temperature"]) if distance == "cosine" else 1.0
        logits = -distances(embedded, fast["prototypes"], distance) / temperature
        return jax.nn.log_softmax(jnp.where(fast["empty"], -1e9, logits), -1)

    return on_embeddings(net, Head(init, adapt, predict), objective, ways if turns else None)


def protonet_ratings(
    net: nn.Module,
    objective: Objective,
    *,
    levels: Sequence[float],
    distance: Distance = "squared_euclidean",
    prior_count: float = 3.0,
) -> Learner:
    """Prototypes of the rating levels, from the task's own support; outputs are expected ratings [N].

    The prototype of level l is (kappa g_l + sum of the embedded support rated l) / (kappa + n_l), with a learnt global
    prototype g_l and a learnt pseudo-count kappa, so an empty level and K = 0 work. The levels of a task are not
    equally likely: -d / temperature is added to the log of the level's fraction of the support, which is shrunk in the
      same way to
    a learnt global fraction. The prediction is the expectation over the levels.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: masked loss of the expected rating, for example `objectives.squared_error`.
      levels: the rating values, ascending, for example (1, 2, 3, 4, 5). A support rating counts for the nearest.
      distance: squared Euclidean or cosine; both have a learnt temperature.
      prior_count: initial kappa; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        net_key, level_key = jax.random.split(key)
        embedded, variables = net.init_with_output(net_key, episode.support.x)
        return {
            "net": variables["params"],
            "log_temperature": jnp.zeros(()),
            **level_params(level_key, levels, embedded.shape[-1], prior_count),
        }

    def read(params: Params, support: Examples) -> tuple[Array, Array]:
        return level_sums(net.apply({"params": params["net"]}, support.x), support, params[FIXED]["levels"])

    def adapt(params: Params, support: Examples) -> Fast:
        sums, counts = read(params, support)
        return params | {"sums": sums, "counts": counts}

    def predict(fast: Fast, x) -> Array:
        embedded = net.apply({"params": fast["net"]}, x)
        prototypes, log_fractions = shrunk_levels(fast, fast["sums"], fast["counts"])
        scaled = distances(embedded, prototypes, distance) * jnp.exp(-fast["log_temperature"])
        return jax.nn.softmax(log_fractions - scaled, -1) @ fast[FIXED]["levels"]

    def update(fast: Fast, new: Examples) -> Fast:
        sums, counts = read(fast, new)
        return fast | {"sums": fast["sums"] + sums, "counts": fast["counts"] + counts}

    def forget(fast: Fast, fraction: Array) -> Fast:
        return fast | {"sums": fraction * fast["sums"], "counts": fraction * fast["counts"]}

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective), None, update, forget)
