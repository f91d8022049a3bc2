"""Online evaluation: a task is a user's ratings in time order; each is predicted before it is revealed."""

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.tasks.episodes import row_examples
from metarec_jax.tasks.hashing import in_time_order
from metarec_jax.tasks.splits import HeldOut, check_order, pad_rows
from metarec_jax.types import Examples


def histories(ratings: Ratings, held_out: HeldOut, length: int, seed: int = 0) -> Examples:
    """The first `length` ratings of the held-out users, in time order; numpy, leading [T, length], padding at the end.

    Args:
      ratings: the table, with timestamps.
      held_out: the users; their division into support and query is ignored.
      length: the largest number of ratings of a user; positions are 0 to length - 1.
      seed: of the order of ratings of the same time.

    Raises:
      DataError: the table has no timestamps.
    """
    check_order(ratings, "time")
    bounds = zip(ratings.user_offsets[held_out.users], ratings.user_offsets[held_out.users + 1], strict=True)
    rows = pad_rows([in_time_order(ratings, np.arange(*of_user), seed)[:length] for of_user in bounds])
    missing = np.full((len(rows), length - rows.shape[1]), -1)
    return row_examples(ratings, held_out.users, np.hstack([rows, missing]))
