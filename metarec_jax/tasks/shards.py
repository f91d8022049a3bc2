"""A task distribution in shards, so that every device, and every host, holds its own users only.

Users are assigned to shards in turn, so that shards differ by one user at most. A step draws the same number of tasks
from each shard. Tasks do not depend on which device holds a shard, so neither does training, up to the rounding of a
sum.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.users import training_tasks
from metarec_jax.types import Tasks


def sharded_tasks(train: Ratings, *, shards: int, local: Sequence[int], **options: Any) -> Tasks:
    """The shards `local` of the training users, each as `users.training_tasks` of its users.

    Args:
      train: the training part of the table.
      shards: P, the number of shards that users with two ratings or more are divided into.
      local: numbers of the shards to make, 0..P-1.
      **options: of `training_tasks`, except `unseen`: a shard does not know which items have no training rating.

    Returns:
      Tasks whose data is numpy, [len(local), ...] on every leaf. All shards have room for as many users and ratings.
      `sample` draws from one shard. Every shard has the content of all items.

    Raises:
      DataError: there are fewer users than shards.
    """
    counts = np.diff(train.user_offsets)
    users = np.flatnonzero(counts >= 2)
    if len(users) < shards:
        raise DataError(f"{train.name}: {len(users)} training users are too few for {shards} shards.")
    users_by_shard = [users[shard::shards] for shard in range(shards)]
    size, rows = len(users_by_shard[0]), max(int(counts[shard].sum()) for shard in users_by_shard)
    shard_data = []
    for number in local:
        member = np.zeros(len(counts), bool)
        member[users_by_shard[number]] = True
        own = train.keep_rows(np.flatnonzero(member[train.user]))
        tasks = training_tasks(own, room=(size, rows), **options)
        shard_data.append(jax.tree.map(np.asarray, tasks.data))
    return Tasks(jax.tree.map(lambda *leaves: np.stack(leaves), *shard_data), tasks.sample)
