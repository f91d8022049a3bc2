"""Learners that give a new item an embedding: from its side features at K = 0, corrected by its raters for K > 0.

A task is an item, a candidate is a rater, and the context is the item's side features. A rating is
    prior mean(rater, item's side features) + rater's vector . embedding,
with vectors and prior mean from a network such as `TasteNet`, which may start from a fitted Gaussian process
(`ridge.from_gaussian_process`). The embedding [D] has to explain what linear terms of the side features do not. The
learners differ in how they make it of the support and the context.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from metarec_jax.learners.gradient.inner_loop import descend
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params

Keys = dict[str, Array]  # {"dropout": key} in the loss, {} elsewhere: what Flax calls rngs


class Embedder(NamedTuple):
    """How an item gets its embedding: pure functions of one task. `params` are all parameters of the learner."""

    init: Callable[[Array, Array, int], Params]  # (key, context [G], D) -> parameters beside the network's
    # (params, `above_prior` support, context [G], keys) -> [D]
    embed: Callable[[Params, Examples, Array, Keys], Array]


def above_prior(net: nn.Module, params: Params, examples: Examples) -> Examples:
    """The examples for a linear model: x are the raters' vectors [N, D], y [N] the ratings less the prior mean."""
    features, mean = net.apply({"params": params["net"]}, examples.x)
    return Examples(features, examples.y - mean, examples.mask)


def gradient_steps(
    objective: Objective, rated: Examples, start: Array, *, lr: float, steps: int, prior_count: float
) -> Array:
    """The embedding [D] after gradient steps from `start` [D] on examples as `above_prior` returns them.

    `lr`, `steps` and `prior_count` are as in `maml`.
    """

    def inner_loss(embedding: Array) -> Array:
        return objective(rated.x @ embedding, rated, prior_count)[0]

    return descend(inner_loss, start, optimiser=optax.sgd(lr), steps=steps)[0]


def embedding_learner(net: nn.Module, objective: Objective, embedder: Embedder) -> Learner:
    """The learner of an embedder; its loss is the error of the query after reading the support. Outputs are ratings
    [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of the query, a function of errors only, for example `objectives.squared_error`.
      embedder: how an item gets its embedding.
    """

    def init(key: Array, episode: Episode) -> Params:
        net_key, own_key = jax.random.split(key)
        x = episode.support.x
        (features, _), variables = net.init_with_output(net_key, x)
        own = embedder.init(own_key, jnp.zeros(x.context.shape[-1]), features.shape[-1])
        return {"net": variables.get("params", {}), **own}

    def embed(params: Params, support: Examples, keys: Keys) -> Array:
        return embedder.embed(params, above_prior(net, params, support), support.x.context, keys)

    def adapt(params: Params, support: Examples) -> Fast:
        return {"net": params["net"], "embedding": embed(params, support, {})}

    def predict(fast: Fast, x) -> Array:
        features, mean = net.apply({"params": fast["net"]}, x)
        return mean + features @ fast["embedding"]

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del step  # the loss is the same at every training step
        query = above_prior(net, params, episode.query)
        return objective(query.x @ embed(params, episode.support, {"dropout": key}), query)

    return Learner(init, adapt, predict, loss)
