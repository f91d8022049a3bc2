"""Training tasks of users, drawn on the device at a cost that depends on the sizes of support and query only."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.splits import check_order
from metarec_jax.tasks.user_episodes import EpisodeSizes, Order, draw_ratings, hide_ids, make_episode, shift_ids
from metarec_jax.types import Array, Episode, Tasks


class _TrainData(NamedTuple):
    users: Array  # [] int32 number of training users; the arrays [U] may have room for more, and those [R] for ratings
    start: Array  # [U] int32 first row of each training user
    count: Array  # [U] int32 number of ratings
    item: Array  # [R] int32
    rating: Array  # [R] float32
    content: Array  # [I, F] float32
    context: Array  # [U, G] float32
    fold: Array  # [U] int32 fold of each training user, [0] where there are none
    num_unrated: Array  # [] int32 number of items without a training rating
    unrated: Array  # [I] int32 these items, then padding; [0] where no id is hidden


def training_tasks(
    train: Ratings,
    *,
    support: int,
    query: int,
    vary_support: bool = True,
    order: Order = "random",
    unseen: float = 0.0,
    room: tuple[int, int] | None = None,
    folds: np.ndarray | None = None,
) -> Tasks:
    """Training users as a task distribution on the device; every user is equally likely.

    Args:
      train: the training part of the table; users with a single rating cannot be a task and are left out.
      support, query: the sizes S and Q of an episode. A user with n ratings gives min(Q, n // 2) query ratings and at
        most S of the others as support.
      vary_support: draw the number of support ratings uniformly from 0..S in every episode, so that the learner is
        trained for every K; else it is S.
      order: in "time" order no support rating is later than a query rating; for ratings of the same time see
        `data.table.Ratings`.
      unseen: fraction of the episodes in which the item ids are replaced by ids of random items without a training
        rating (where there are any) while the content stays. So a learner is trained on items that it knows by content
        alone, and the parameters of such ids fit an item without ratings.
      room: numbers of users and ratings that the arrays have room for, so that one compiled program serves several
        training parts of one table; None: as many as there are.
      folds: [U] fold of each user. Item i of an episode of a user of fold f has the id f I + i then, for what is fitted
        without each fold (`train.cross_fit`). None: ids are item numbers.

    Raises:
      DataError: time order without timestamps, or no user with two ratings.
    """
    check_order(train, order)
    users = np.flatnonzero(np.diff(train.user_offsets) >= 2)
    if len(users) == 0:
        raise DataError(f"{train.name}: no training user has two ratings, so only methods without training can run.")
    data = _on_device(train, users, room or (len(users), len(train.rating)), unseen > 0, folds)
    sizes = EpisodeSizes(support, query, vary_support, order)

    def sample(data: _TrainData, key: Array) -> Episode:
        draw, positions = draw_ratings(data.count, data.users, key, sizes)
        rows = data.start[draw.user] + positions
        episode = make_episode(data, sizes, draw, data.item[rows], data.rating[rows])
        if unseen:
            episode = hide_ids(data.unrated, data.num_unrated, jax.random.fold_in(key, 1), episode, unseen)
        return episode if folds is None else shift_ids(episode, data.fold[draw.user] * train.num_items)

    return Tasks(data, sample)


def _on_device(
    train: Ratings, users: np.ndarray, room: tuple[int, int], hides: bool, folds: np.ndarray | None
) -> _TrainData:
    """The data of these users; `hides`: whether ids are hidden."""
    unrated = np.flatnonzero(np.bincount(train.item, minlength=train.num_items) == 0)
    width, rows = room
    return _TrainData(
        users=jnp.int32(len(users)),
        start=filled(train.user_offsets[users].astype(np.int32), width),
        count=filled(np.diff(train.user_offsets)[users].astype(np.int32), width),
        item=filled(train.item, rows),
        rating=filled(train.rating, rows),
        content=jnp.asarray(train.item_features.values),
        context=filled(train.user_features.values[users], width),
        fold=jnp.zeros(0, jnp.int32) if folds is None else filled(folds[users], width),
        num_unrated=jnp.int32(len(unrated)),
        unrated=filled(unrated.astype(np.int32), train.num_items if hides else 0),
    )


def filled(values: np.ndarray, rows: int) -> Array:
    """The values [N, ...] with zeros behind, or cut: [rows, ...] on the device."""
    padding = [(0, max(0, rows - len(values)))] + [(0, 0)] * (values.ndim - 1)
    return jnp.asarray(np.pad(values[:rows], padding))
