"""Both cold: new users on new items. No user and no item of a held-out task occurs in training."""

import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import Ratings
from metarec_jax.tasks.splits import Order, Split, check_order, has_between, held_out, make_split

BUCKETS = 20
TRAINING_ITEMS = 14  # of the buckets; the rest is divided between validation and test


def split_both(
    ratings: Ratings,
    *,
    seed: int,
    query: int,
    order: Order = "random",
    min_ratings: int = 0,
    max_ratings: int | None = None,
    filter_training: bool = False,
) -> Split:
    """Users 80/10/10 and items 70/15/15, by seeded hashes of their ids; test users are asked about test items only.

    A test task is a test user with the ratings of test items, support and query, and the same for validation. Training
    sees training users on training items; what test users gave to training items is not used at all.

    Args:
      ratings: the table.
      seed: another seed, another split.
      query: ratings of a held-out user that are predicted.
      order: how the rest becomes the support.
      min_ratings, max_ratings: held-out users have at least, at most so many ratings of all items.
      filter_training: whether these two bounds hold for training users too.

    Raises:
      DataError: time order without timestamps, or a part is empty.
    """
    check_order(ratings, order)
    fits = has_between(ratings, min_ratings, max_ratings)
    users = np.array([seeded_hash(seed, user) % 10 for user in ratings.user_ids])
    items = np.array([seeded_hash(seed, "item", item) % BUCKETS for item in ratings.item_ids])
    middle = (TRAINING_ITEMS + BUCKETS) / 2
    training = (users < 8) & (fits | (not filter_training))
    rows = np.flatnonzero(training[ratings.user] & (items < TRAINING_ITEMS)[ratings.item])
    valid = held_out(
        ratings, fits & (users == 8), (items >= TRAINING_ITEMS) & (items < middle), seed=seed, query=query, order=order
    )
    test = held_out(ratings, fits & (users == 9), items >= middle, seed=seed, query=query, order=order)
    return make_split(ratings, rows, valid, test)
