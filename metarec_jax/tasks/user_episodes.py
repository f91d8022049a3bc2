"""A training episode of a user in two steps: draw which ratings it has, then build it from these ratings.

The first step needs only the number of ratings of each user, the second only the ratings drawn. A device that holds all
ratings does both (`tasks.users`); or the host does the first, reads the ratings and sends them (`tasks.streamed`).
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.tasks.sampling import below, draw_distinct
from metarec_jax.types import Array, Episode, Examples, Inputs

Order = Literal["random", "time"]


class EpisodeSizes(NamedTuple):
    """Sizes and order of training episodes; see `users.training_tasks`."""

    support: int  # S
    query: int  # Q
    vary_support: bool = True
    order: Order = "random"


class Draw(NamedTuple):
    """The user of an episode and the numbers of ratings: the support comes first, then the query."""

    user: Array  # [] int32 position among the training users
    num_support: Array  # [] int32, S at most
    num_query: Array  # [] int32, Q at most


def draw_ratings(count: Array, users: Array | int, key: Array, sizes: EpisodeSizes) -> tuple[Draw, Array]:
    """Draw the user and the ratings of an episode.

    Args:
      count: [U] int32 number of ratings of each training user, at least 2.
      users: the first of these count.
      key: of the episode.
      sizes: sizes S and Q, and order.

    Returns:
      The draw, and [S + Q] int32 positions among the user's ratings. All positions are valid, also those after the
      query, which are padding.
    """
    support, query = sizes.support, sizes.query
    bits = jax.random.bits(key, (2 + support + query,))
    user = below(bits[0], users)
    available = count[user]
    num_query = jnp.minimum(query, available // 2)
    target = below(bits[1], support + 1) if sizes.vary_support else support
    num_support = jnp.minimum(target, available - num_query)
    positions = draw_distinct(bits[2:], available)
    if sizes.order == "time":  # ratings of a user are in time order
        drawn = jnp.arange(support + query) < num_support + num_query
        positions = jnp.minimum(jnp.sort(jnp.where(drawn, positions, available)), available - 1)
    return Draw(user, num_support, num_query), positions


def make_episode(data: Any, sizes: EpisodeSizes, draw: Draw, item: Array, rating: Array) -> Episode:
    """The episode of a draw.

    Args:
      data: with `content` [I, F] of items and `context` [U, G] of training users.
      sizes: those of `draw_ratings`.
      draw: the user and the numbers of ratings.
      item, rating: [S + Q] items and ratings at the positions drawn.
    """

    def examples(start: Array | int, size: int, real: Array) -> Examples:
        items, ratings = (jax.lax.dynamic_slice(values, (start,), (size,)) for values in (item, rating))
        mask = (jnp.arange(size) < real).astype(jnp.float32)
        return Examples(Inputs(items, data.content[items], data.context[draw.user]), ratings, mask)

    support = examples(0, sizes.support, draw.num_support)
    return Episode(support, examples(draw.num_support, sizes.query, draw.num_query))


def hide_ids(unrated: Array, number: Array, key: Array, episode: Episode, fraction: float) -> Episode:
    """The episode, with all item ids replaced by random ones of the first `number` [] of `unrated` [I] with probability
    `fraction`, if there are any."""
    sizes = [examples.x.id.shape[0] for examples in episode]
    bits = jax.random.bits(key, (1 + sum(sizes),))
    hide = (bits[0] < np.uint32(fraction * (2**32 - 1))) & (number > 0)
    unrated_ids = jnp.split(unrated[below(bits[1:], jnp.maximum(number, 1))], [sizes[0]])

    def exchange(examples: Examples, ids: Array) -> Examples:
        return examples._replace(x=examples.x._replace(id=jnp.where(hide, ids, examples.x.id)))

    return Episode(*map(exchange, episode, unrated_ids))


def shift_ids(episode: Episode, by: Array) -> Episode:
    """The episode with `by` [] added to all item ids."""
    return Episode(*(part._replace(x=part.x._replace(id=part.x.id + by)) for part in episode))
