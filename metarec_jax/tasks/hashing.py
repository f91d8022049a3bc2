"""Who goes where, and in which order, by seeded hashes of raw ids: new rows move no old one."""

import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import Ratings


def in_hash_order(ratings: Ratings, rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows by a hash of (seed, raw user id, raw item id), so that a new rating moves no other one."""
    pairs = zip(ratings.user_ids[ratings.user[rows]], ratings.item_ids[ratings.item[rows]], strict=True)
    return rows[np.argsort([seeded_hash(seed, *pair) for pair in pairs])]
