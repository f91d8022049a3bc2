"""Random orders by seeded hashes of raw ids, which do not change when rows are added."""

import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import Ratings


def in_hash_order(ratings: Ratings, rows: np.ndarray, seed: int) -> np.ndarray:
    """The row numbers `rows`, sorted by a hash of (seed, raw user id, raw item id)."""
    pairs = zip(ratings.user_ids[ratings.user[rows]], ratings.item_ids[ratings.item[rows]], strict=True)
    return rows[np.argsort([seeded_hash(seed, *pair) for pair in pairs])]


def in_time_order(ratings: Ratings, rows: np.ndarray, seed: int) -> np.ndarray:
    """The row numbers `rows`, sorted by time; ratings of the same time by their hash, which says nothing of them.

    The order of the file, or of the items, may tell more than a person knew at that time: what is popular, or liked.
    """
    rows = in_hash_order(ratings, rows, seed)
    return rows[np.argsort(ratings.timestamp[rows], kind="stable")]
