"""A training episode of a user in two halves: which of the ratings, by chance, and what a learner is shown of them.

The first half needs to know how many ratings the users have and no more, the second these ratings and no others. So a
device that holds all ratings does both, and a host may do the first, look the ratings up wherever they are, and send
them: see `tasks.stream`.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.tasks.sampling import below, draw_distinct
from metarec_jax.types import Array, Episode, Examples, Inputs

Order = Literal["random", "time"]


class Sizes(NamedTuple):
    """What training episodes are like; see `user_cold_start.training_tasks`."""

    support: int  # S
    query: int  # Q
    vary_support: bool = True
    order: Order = "random"


class Chosen(NamedTuple):
    """Whose ratings an episode shows, and how many: the first are the support, those after it the query."""

    user: Array  # [] int32 place among the training users
    supported: Array  # [] int32, S at most
    queried: Array  # [] int32, Q at most


def choose(count: Array, key: Array, sizes: Sizes) -> tuple[Chosen, Array]:
    """An episode by chance.

    Args:
      count: [U] int32 ratings of each training user, 2 at least.
      key: of the episode.
      sizes: what it is like.

    Returns:
      What was chosen, and [S + Q] int32 places among the user's ratings, which all exist: those after the query too.
    """
    support, query = sizes.support, sizes.query
    bits = jax.random.bits(key, (2 + support + query,))
    user = below(bits[0], count.shape[0])
    own = count[user]
    queried = jnp.minimum(query, own // 2)
    wanted = below(bits[1], support + 1) if sizes.vary_support else support
    supported = jnp.minimum(wanted, own - queried)
    places = draw_distinct(bits[2:], own)
    if sizes.order == "time":  # ratings of a user are in time order
        drawn = jnp.arange(support + query) < supported + queried
        places = jnp.minimum(jnp.sort(jnp.where(drawn, places, own)), own - 1)
    return Chosen(user, supported, queried), places


def show(data: Any, sizes: Sizes, chosen: Chosen, item: Array, rating: Array) -> Episode:
    """What a learner is shown.

    Args:
      data: with `content` [I, F] of items and `context` [U, G] of training users.
      sizes: those of `choose`.
      chosen: whose ratings, how many.
      item, rating: [S + Q] of the chosen places.
    """

    def part(start: Array | int, size: int, real: Array) -> Examples:
        items, ratings = (jax.lax.dynamic_slice(values, (start,), (size,)) for values in (item, rating))
        context = jnp.broadcast_to(data.context[chosen.user], (size, data.context.shape[1]))
        mask = (jnp.arange(size) < real).astype(jnp.float32)
        return Examples(Inputs(items, data.content[items], context), ratings, mask)

    support = part(0, sizes.support, chosen.supported)
    return Episode(support, part(chosen.supported, sizes.query, chosen.queried))


def hide_ids(unrated: Array, key: Array, episode: Episode, share: float) -> Episode:
    """The episode with the ids of random ones of the items `unrated` [N], in a `share` of the cases; else as it is."""
    sizes = [examples.x.id.shape[0] for examples in episode]
    bits = jax.random.bits(key, (1 + sum(sizes),))
    hide = bits[0] < np.uint32(share * (2**32 - 1))
    strange = jnp.split(unrated[below(bits[1:], unrated.shape[0])], [sizes[0]])

    def exchange(examples: Examples, ids: Array) -> Examples:
        return examples._replace(x=examples.x._replace(id=jnp.where(hide, ids, examples.x.id)))

    return Episode(*map(exchange, episode, strange))
