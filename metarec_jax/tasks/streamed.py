"""Training tasks of users whose ratings stay on the host; a device receives only the ratings of the episodes drawn.

The episodes equal those that `users.training_tasks` draws from the same keys for the same users, bit by bit. The same
code draws them (`user_episodes.draw_ratings`), here on a CPU device for many keys at once, and the same code builds
them (`user_episodes.make_episode`), on the device that trains. In between, the ratings are read from memory-mapped
columns.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.io.columns import Columns
from metarec_jax.data.table import DataError
from metarec_jax.tasks.user_episodes import Draw, EpisodeSizes, Order, draw_ratings, make_episode
from metarec_jax.types import Array, Episode, Streamed, Tasks

Map = Callable[[Callable[[slice], None], Iterable[slice]], Any]  # the built-in `map`, or that of a thread pool


class EpisodeRatings(NamedTuple):
    """The data of an episode that is sent to the device."""

    draw: Draw
    item: np.ndarray | Array  # [S + Q] int32
    rating: np.ndarray | Array  # [S + Q] float32


class _Shared(NamedTuple):
    """The data that stays on the device."""

    content: Array  # [I, F] float32
    context: Array  # [U, 0] float32: columns have no side features of users


class Stream:
    """A task distribution whose ratings the host looks up.

    `tasks` is the distribution as the device sees it. Its data is a `types.Streamed` with zeros of the right shapes in
    the place of the ratings.
    """

    tasks: Tasks

    def __init__(
        self,
        columns: Columns,
        users: np.ndarray,
        *,
        support: int,
        query: int,
        vary_support: bool = True,
        order: Order = "random",
    ):
        """Make the distribution over training users.

        Args:
          columns: the ratings.
          users: [n] training users, ascending; those with a single rating cannot be a task and are left out.
          support, query, vary_support, order: see `users.training_tasks`.

        Raises:
          DataError: time order without timestamps, or no user with two ratings.
        """
        if order == "time" and columns.timestamp is None:
            raise DataError(f"{columns.name} has no timestamps; use random order.")
        users = users[columns.counts[users] >= 2]
        if len(users) == 0:
            raise DataError(f"{columns.name}: no training user has two ratings, so there is no task to train on.")
        self._columns, self._start = columns, columns.offsets[users]
        sizes = EpisodeSizes(support, query, vary_support, order)
        self._host = jax.local_devices(backend="cpu")[0]
        self._count = jax.device_put(columns.counts[users].astype(np.int32), self._host)
        self._draw = jax.jit(jax.vmap(partial(draw_ratings, sizes=sizes), (None, None, 0)))

        def sample(data: Streamed, key: Array) -> Episode:
            del key  # the ratings in the data were drawn with it
            return make_episode(data.shared, sizes, *data.tasks)

        shared = _Shared(jnp.asarray(columns.item_features.values), jnp.zeros((len(users), 0)))
        rows = support + query
        empty = EpisodeRatings(Draw(*[jnp.int32(0)] * 3), jnp.zeros(rows, jnp.int32), jnp.zeros(rows))
        self.tasks = Tasks(Streamed(shared, empty), sample)

    def look_up(self, keys: Array, mapper: Map = map, blocks: int = 1) -> EpisodeRatings:
        """Draw the episodes of keys [n] and read their ratings.

        Args:
          keys: [n] of the episodes.
          mapper: applies a function to blocks of the episodes, perhaps in threads.
          blocks: number of blocks.

        Returns:
          numpy arrays, leading [n] on every leaf.
        """
        draw, positions = jax.device_get(self._draw(self._count, len(self._start), jax.device_put(keys, self._host)))
        item, rating = np.empty(positions.shape, np.int32), np.empty(positions.shape, np.float32)

        def fill(block: slice) -> None:
            rows = self._start[draw.user[block], None] + positions[block]
            item[block], rating[block] = self._columns.item[rows], self._columns.rating[rows]

        bounds = np.linspace(0, len(positions), blocks + 1).astype(int)
        list(mapper(fill, map(slice, bounds[:-1], bounds[1:])))
        return EpisodeRatings(draw, item, rating)
