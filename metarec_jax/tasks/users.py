"""Training tasks of users, drawn on the device at a cost that depends on the sizes of support and query only."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.splits import check_order
from metarec_jax.tasks.user_episodes import EpisodeSizes, Order, draw_ratings, hide_ids, make_episode
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
    """Training users as a task distribution on the device; every user is equally likely.

    Args:
      train: the training part of the table; users with a single rating cannot be a task and are left out.
      support, query: the sizes S and Q of an episode. A user with n ratings gives min(Q, n // 2) query ratings and at
        most S of the others as support.
      vary_support: draw the number of support ratings uniformly from 0..S in every episode, so that the learner is
        trained for every K; else it is S.
      order: in "time" order no support rating is later than a query rating.
      unseen: fraction of the episodes in which the item ids are replaced by ids of random items without a training
        rating (where there are any) while the content stays. So a learner is trained on items that it knows by content
        alone, and the parameters of such ids fit an item without ratings.

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

    sizes = EpisodeSizes(support, query, vary_support, order)

    def sample(data: _TrainData, key: Array) -> Episode:
        draw, positions = draw_ratings(data.count, key, sizes)
        rows = data.start[draw.user] + positions
        episode = make_episode(data, sizes, draw, data.item[rows], data.rating[rows])
        if unseen and len(unrated):
            return hide_ids(data.unrated, jax.random.fold_in(key, 1), episode, unseen)
        return episode

    return Tasks(data, sample)
