"""A task distribution in parts, so that every device, and every host, holds its own users and no others.

Users are dealt out in order, so that parts differ by one user at most, and a step draws as many tasks from each part.
Tasks do not depend on which device has a part, so neither does training, up to the rounding of a sum.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.users import training_tasks
from metarec_jax.types import Tasks


def tasks_in_parts(train: Ratings, *, parts: int, own: Sequence[int], **options: Any) -> Tasks:
    """The parts `own` of the training users, as `user_cold_start.training_tasks` has each.

    Args:
      train: the training part of the table.
      parts: P, into which users with two ratings or more are dealt.
      own: numbers of the parts wanted.
      **options: of `training_tasks`, but for `unseen`: which items nobody has rated a part does not know.

    Returns:
      Tasks whose data is numpy, [len(own), ...] on every leaf, all parts of one size: the last user of a part that is
      one short counts twice. `sample` draws from one part. Content of items is in each part.

    Raises:
      DataError: there are fewer users than parts.
    """
    counts = np.diff(train.user_offsets)
    users = np.flatnonzero(counts >= 2)
    if len(users) < parts:
        raise DataError(f"{train.name}: {len(users)} training users are too few for {parts} parts.")
    dealt = [users[part::parts] for part in range(parts)]
    size, rows = len(dealt[0]), max(int(counts[part].sum()) for part in dealt)
    each = []
    for number in own:
        member = np.zeros(len(counts), bool)
        member[dealt[number]] = True
        tasks = training_tasks(train.keep_rows(np.flatnonzero(member[train.user])), **options)
        data = jax.tree.map(np.asarray, tasks.data)
        short = {name: _fill(getattr(data, name), size, repeat=True) for name in ("start", "count", "context")}
        long = {name: _fill(getattr(data, name), rows, repeat=False) for name in ("item", "rating")}
        each.append(data._replace(**short, **long, unrated=data.unrated[:0]))
    return Tasks(jax.tree.map(lambda *leaves: np.stack(leaves), *each), tasks.sample)


def _fill(leaf: np.ndarray, size: int, repeat: bool) -> np.ndarray:
    """[size, ...], by the last entry again or by zeros."""
    width = [(0, size - len(leaf))] + [(0, 0)] * (leaf.ndim - 1)
    return np.pad(leaf, width, mode="edge" if repeat else "constant")
