"""Training users whose ratings stay on the host: a device is sent those that an episode shows, and no others.

The episodes are those that `user_cold_start.training_tasks` draws from the same keys for the same users, bit by bit:
the same code chooses them (`user_episodes.choose`), here on a CPU device for many keys at once, and the same code shows
them (`user_episodes.show`), on the device that trains. Between the two the ratings are looked up in mapped columns.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.io.columns import Columns
from metarec_jax.data.table import DataError
from metarec_jax.tasks.user_episodes import Chosen, Order, Sizes, choose, show
from metarec_jax.types import Array, Episode, Streamed, Tasks

Map = Callable[[Callable[[slice], None], Iterable[slice]], Any]  # as the built-in, perhaps by threads


class Looked(NamedTuple):
    """What the device is sent of an episode."""

    chosen: Chosen
    item: np.ndarray | Array  # [S + Q] int32
    rating: np.ndarray | Array  # [S + Q] float32


class _Shared(NamedTuple):
    """What stays on the device."""

    content: Array  # [I, F] float32
    context: Array  # [U, 0] float32: columns have no side features of users


class Stream:
    """A task distribution that a host looks up.

    `tasks` is what the device makes of it: its data is a `types.Streamed`, with an empty one to show the shapes.
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
        """Of the training users.

        Args:
          columns: the ratings.
          users: [n] ascending; those with a single rating cannot be a task and are passed over.
          support, query, vary_support, order: see `user_cold_start.training_tasks`.

        Raises:
          DataError: time order without timestamps, or no user with two ratings.
        """
        if order == "time" and columns.timestamp is None:
            raise DataError(f"{columns.name} has no timestamps; use random order.")
        users = users[columns.counts[users] >= 2]
        if len(users) == 0:
            raise DataError(f"{columns.name}: no training user has two ratings, so there is no task to train on.")
        self._columns, self._start = columns, columns.offsets[users]
        sizes = Sizes(support, query, vary_support, order)
        self._host = jax.local_devices(backend="cpu")[0]
        self._count = jax.device_put(columns.counts[users].astype(np.int32), self._host)
        self._choose = jax.jit(jax.vmap(partial(choose, sizes=sizes), (None, 0)))

        def sample(data: Streamed, key: Array) -> Episode:
            del key  # has chosen what is in the data
            return show(data.shared, sizes, *data.tasks)

        shared = _Shared(jnp.asarray(columns.item_features.values), jnp.zeros((len(users), 0)))
        rows = support + query
        empty = Looked(Chosen(*[jnp.int32(0)] * 3), jnp.zeros(rows, jnp.int32), jnp.zeros(rows))
        self.tasks = Tasks(Streamed(shared, empty), sample)

    def look_up(self, keys: Array, each: Map = map, pieces: int = 1) -> Looked:
        """What to send of the episodes of keys [n]: numpy arrays, [n] on every leaf.

        `each` does the `pieces` into which the work is cut.
        """
        chosen, places = jax.device_get(self._choose(self._count, jax.device_put(keys, self._host)))
        item, rating = np.empty(places.shape, np.int32), np.empty(places.shape, np.float32)

        def fill(part: slice) -> None:
            rows = self._start[chosen.user[part], None] + places[part]
            item[part], rating[part] = self._columns.item[rows], self._columns.rating[rows]

        bounds = np.linspace(0, len(places), pieces + 1).astype(int)
        list(each(fill, map(slice, bounds[:-1], bounds[1:])))
        return Looked(chosen, item, rating)
