"""Held-out tasks as episodes of padded examples."""

import numpy as np

from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.splits import HeldOut, fewer
from metarec_jax.types import Episode, Examples, Inputs


def episodes(ratings: Ratings, held_out: HeldOut, shots: int | None, *, width: int = 0) -> tuple[Episode, np.ndarray]:
    """The held-out tasks with the first `shots` support ratings, as a task batch.

    Args:
      ratings: the table.
      held_out: the tasks.
      shots: K, the number of support ratings; tasks with fewer are left out. None: all support ratings of every task.
      width: the support is padded to this length at least, so that one compiled program serves every K up to it.

    Returns:
      Episode with leading [T'] on every leaf (numpy), and [T'] positions of its tasks in `held_out`.

    Raises:
      DataError: no user has `shots` support ratings.
    """
    available = (held_out.support >= 0).sum(1)
    if shots is None:
        shots, kept = held_out.support.shape[1], np.arange(len(available))
    else:
        kept = np.flatnonzero(available >= shots)
    if len(kept) == 0:
        query, most = held_out.query.shape[1], int(available.max(initial=0))
        raise DataError(
            f"{ratings.name}: {shots} support + {query} query ratings are more than any held-out "
            f"{ratings.roles[0]} has; {fewer(most + query, query, (0,))}."
        )
    users = held_out.users[kept]
    support = held_out.support[kept, :shots]
    support = np.pad(support, ((0, 0), (0, max(0, width - shots))), constant_values=-1)
    return Episode(row_examples(ratings, users, support), row_examples(ratings, users, held_out.query[kept])), kept


def row_examples(ratings: Ratings, users: np.ndarray, rows: np.ndarray) -> Examples:
    """Rows of the table as examples.

    Args:
      ratings: the table.
      users: [T] the user of each task.
      rows: [T, N] row numbers; -1 is padding.

    Returns:
      Examples with leading [T, N] (numpy); padding repeats row 0 with mask 0.
    """
    safe = np.maximum(rows, 0)
    items = ratings.item[safe]
    return Examples(
        x=Inputs(items, ratings.item_features.values[items], ratings.user_features.values[users]),
        y=ratings.rating[safe],
        mask=(rows >= 0).astype(np.float32),
    )
