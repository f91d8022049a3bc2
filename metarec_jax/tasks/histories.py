"""Online evaluation: a task is a user's ratings in time order; each is predicted before it is revealed."""

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.tasks.episodes import row_examples
from metarec_jax.tasks.splits import HeldOut, check_order
from metarec_jax.types import Examples


def histories(ratings: Ratings, held_out: HeldOut, length: int) -> Examples:
    """The first `length` ratings of the held-out users, in time order; numpy, leading [T, length], padding at the end.

    Ratings of the same second stay in the order of the file.

    Args:
      ratings: the table, with timestamps.
      held_out: the users; their division into support and query is ignored.
      length: the largest number of ratings of a user; positions are 0 to length - 1.

    Raises:
      DataError: the table has no timestamps.
    """
    check_order(ratings, "time")
    first, end = ratings.user_offsets[held_out.users], ratings.user_offsets[held_out.users + 1]
    rows = first[:, None] + np.arange(length)
    return row_examples(ratings, held_out.users, np.where(rows < end[:, None], rows, -1))
