"""Training tasks of users, drawn on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.splits import check_order
from metarec_jax.tasks.user_episodes import Order, Sizes, choose, hide_ids, show
from metarec_jax.types import Array, Episode, Tasks


class _TrainData(NamedTuple):
    start: Array  # [U] int32 first row of each training user
    count: Array  # [U] int32 number of ratings
    item: Array  # [R] int32
    rating: Array  # [R] float32
    content: Array  # [I, F] float32
    context: Array  # [U, G] float32
    unrated: Array  # [N] int32 items without a training rating


def training_tasks(
    train: Ratings,
    *,
    support: int,
    query: int,
    vary_support: bool = True,
    order: Order = "random",
    unseen: float = 0.0,
) -> Tasks:
    """Training users as a task distribution on the device; every user is equally likely, all their ratings usable.

    Args:
      train: the training part of the table; users with a single rating cannot be a task and are passed over.
      support, query: the sizes S and Q of an episode. A user with n ratings gives min(Q, n // 2) query ratings and at
        most S of what is left as support.
      vary_support: draw the number of support ratings uniformly from 0..S in every episode, so that the learner
        meets every K in training; else it is S.
      order: in "time" order no support rating is younger than a query rating.
      unseen: share of the episodes in which all items have the ids of random items without a training rating (where
        there are any), and only their content is their own: so a learner meets items that it knows by content alone,
        and what it learns of such ids is what there is to know of an item that nobody has rated.

    Raises:
      DataError: time order without timestamps, or no user with two ratings.
    """
    check_order(train, order)
    unrated = np.flatnonzero(np.bincount(train.item, minlength=train.num_items) == 0)
    counts = np.diff(train.user_offsets)
    users = np.flatnonzero(counts >= 2)
    if len(users) == 0:
        raise DataError(f"{train.name}: no training user has two ratings, so there is no task to train on.")
    data = _TrainData(
        start=jnp.asarray(train.user_offsets[users], jnp.int32),
        count=jnp.asarray(counts[users], jnp.int32),
        item=jnp.asarray(train.item),
        rating=jnp.asarray(train.rating),
        content=jnp.asarray(train.item_features.values),
        context=jnp.asarray(train.user_features.values[users]),
        unrated=jnp.asarray(unrated, jnp.int32),
    )

    sizes = Sizes(support, query, vary_support, order)

    def sample(data: _TrainData, key: Array) -> Episode:
        chosen, places = choose(data.count, key, sizes)
        rows = data.start[chosen.user] + places
        episode = show(data, sizes, chosen, data.item[rows], data.rating[rows])
        if unseen and len(unrated):
            return hide_ids(data.unrated, jax.random.fold_in(key, 1), episode, unseen)
        return episode

    return Tasks(data, sample)
