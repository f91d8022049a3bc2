"""Cold start of users and items: new users rate new items. No user or item of a held-out task occurs in training."""

import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import Ratings
from metarec_jax.tasks.splits import Order, Split, check_order, fewer, has_between, held_out, longest, make_split

BUCKETS = 20
TRAINING_ITEMS = 14  # of the buckets; the others are divided between validation and test


def split_users_and_items(
    ratings: Ratings,
    *,
    seed: int,
    query: int,
    order: Order = "random",
    min_ratings: int = 0,
    max_ratings: int | None = None,
    filter_training: bool = False,
) -> Split:
    """Split users 80/10/10 and items 70/15/15, by seeded hashes of their raw ids.

    A test task has a test user's ratings of test items, in support and query; likewise for validation. Training uses
    the ratings of training users on training items. Ratings of held-out users on training items are not used at all.

    Args:
      ratings: the table.
      seed: another seed gives another split.
      query: number of query ratings of a held-out user.
      order: the order of the support, "random" or "time".
      min_ratings, max_ratings: bounds on the number of ratings, of any items, of a held-out user.
      filter_training: whether these bounds hold for training users too.

    Raises:
      DataError: time order without timestamps, or a part of the split is empty.
    """
    check_order(ratings, order)
    fits = has_between(ratings, min_ratings, max_ratings)
    users = np.array([seeded_hash(seed, user) % 10 for user in ratings.user_ids])
    items = np.array([seeded_hash(seed, "item", item) % BUCKETS for item in ratings.item_ids])
    middle = (TRAINING_ITEMS + BUCKETS) / 2
    training = (users < 8) & (fits | (not filter_training))
    rows = np.flatnonzero(training[ratings.user] & (items < TRAINING_ITEMS)[ratings.item])
    parts = (
        (fits & (users == 8), (items >= TRAINING_ITEMS) & (items < middle)),
        (fits & (users == 9), items >= middle),
    )
    valid, test = (held_out(ratings, *part, seed=seed, query=query, order=order) for part in parts)
    most = min(longest(ratings, *part) for part in parts)
    return make_split(ratings, rows, valid, test, remedy=fewer(most, query, (0,)))
