"""Learners whose network only computes embeddings: a head is made from the embedded support and reads embedded points.

Training embeds support and query in one pass, as the code of Snell et al. 2017 does. That is half as much to compile,
and a network with batch statistics (`learners.normalised`) computes them from all images of the episode. Once all
examples are embedded, those of a class may also take turns as its support: many tasks for each episode at the cost of
one, as in Laenen and Bertinetto 2021 (arXiv:2012.09831).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.objectives import Objective
from metarec_jax.ops.rows import join_rows
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


class Head(NamedTuple):
    """The part of the learner after the network; pure functions of one task."""

    init: Callable[[Array, Array], Params]  # (key, embedded support [K, D]) -> parameters beside the network's
    adapt: Callable[[Params, Array, Examples], Fast]  # (params, embedded support [K, D], support) -> fast
    predict: Callable[[Fast, Array], Array]  # (params | fast, embedded points [N, D]) -> outputs [N, ...]


def on_embeddings(net: nn.Module, head: Head, objective: Objective, turn_ways: int | None = None) -> Learner:
    """The learner of a network and a head.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D]; its parameters are under "net".
      head: made from the embedded support.
      objective: masked loss of the outputs on the query.
      turn_ways: number of classes C. The loss is then the mean over all turns of the examples of a class, support and
        query alike, as its support. For episodes whose rows are sorted by class, with equally many of each, like those
        of `tasks.n_way`. None: the loss of the episode as it is.
    """

    def embed(params: Params, x: Any) -> Array:
        return net.apply({"params": params["net"]}, x)

    def init(key: Array, episode: Episode) -> Params:
        net_key, head_key = jax.random.split(key)
        embedded, variables = net.init_with_output(net_key, episode.support.x)
        return {"net": variables["params"], **head.init(head_key, embedded)}

    def adapt(params: Params, support: Examples) -> Fast:
        return params | head.adapt(params, embed(params, support.x), support)

    def predict(fast: Fast, x: Any) -> Array:
        return head.predict(fast, embed(fast, x))

    def embed_episode(params: Params, support: Any, query: Any, size: int) -> tuple[Array, Array]:
        if jax.tree.structure(support) != jax.tree.structure(query):  # one of them names its own normalisation
            return embed(params, support), embed(params, query)
        embedded = embed(params, join_rows(support, query))
        return embedded[:size], embedded[size:]

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key, step
        support, query = episode
        embedded = embed_episode(params, support.x, query.x, len(support.mask))

        def head_loss(known: Array, asked: Array, support: Examples, query: Examples) -> tuple[Array, Metrics]:
            return objective(head.predict(params | head.adapt(params, known, support), asked), query)

        rows = (*embedded, support._replace(x=None), query._replace(x=None))
        if turn_ways is None:
            return head_loss(*rows)
        return jax.tree.map(jnp.mean, jax.vmap(head_loss)(*turns(*rows, turn_ways)))

    return Learner(init, adapt, predict, loss)


def turns(
    known: Array, asked: Array, support: Examples, query: Examples, ways: int
) -> tuple[Array, Array, Examples, Examples]:
    """The same four with a leading axis [R] on every leaf, R = K + Q examples of each class.

    In turn r, the examples r, r + 1, ..., r + K - 1 (modulo R) of each class are its support, and the others its query.

    Args:
      known, asked: [C K, D] and [C Q, D] embedded support and query.
      support, query: their labels and masks.
      ways: number of classes C.

    Raises:
      ValueError: a number of rows is no multiple of `ways`.
    """
    shots, asks = (divmod(len(part.mask), ways) for part in (support, query))
    if shots[1] or asks[1]:
        raise ValueError(f"{len(support.mask)} known and {len(query.mask)} asked rows are not {ways} times as many")
    size = shots[0] + asks[0]
    order = (jnp.arange(size)[:, None] + jnp.arange(size)) % size  # [R, R]

    def take_turns(a: Array, b: Array) -> tuple[Array, Array]:
        rows = jnp.concatenate([part.reshape(ways, -1, *part.shape[1:]) for part in (a, b)], 1)[:, order]
        rows = jnp.moveaxis(rows, 1, 0)  # [R, ways, R, ...]
        first, rest = rows[:, :, : shots[0]], rows[:, :, shots[0] :]
        return tuple(part.reshape(size, -1, *part.shape[3:]) for part in (first, rest))

    pairs = [take_turns(a, b) for a, b in ((known, asked), (support.y, query.y), (support.mask, query.mask))]
    (known, asked), (y, asked_y), (mask, asked_mask) = pairs
    return known, asked, Examples(None, y, mask), Examples(None, asked_y, asked_mask)
