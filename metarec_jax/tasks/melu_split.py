"""MeLU's four partitions (Lee et al. 2019, arXiv:1908.00413): warm and cold users, warm and cold items.

On MovieLens-1M the cold items are the films from 1998 on and the cold users those who joined last. Training uses the
ratings of warm users on warm items. A task is a user with 13 to 100 ratings in a partition; 10 of them are the query.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.ops.untrusted import DamagedError, json_value
from metarec_jax.tasks.splits import Split, held_out, make_split

LEAST, MOST = 13, 100  # ratings of a task, support and query together
VALID_USERS, VALID_ITEMS = 0.1, 0.15  # fractions of the warm users and items that validate


class Partition(NamedTuple):
    """Whether the test users and the test items are cold."""

    cold_users: bool
    cold_items: bool


PARTITIONS = {
    "warm users, warm items": Partition(False, False),
    "cold users, warm items": Partition(True, False),
    "warm users, cold items": Partition(False, True),
    "cold users, cold items": Partition(True, True),
}


class Cold(NamedTuple):
    """Which users and items of a table are cold."""

    users: np.ndarray  # [U] bool
    items: np.ndarray  # [I] bool


def read_cold(path: Path, ratings: Ratings) -> Cold:
    """Read a JSON object of lists of raw ids: warm_users, cold_users, warm_items and cold_items.

    Raises:
      DataError: the file is missing or not of this form, or a user or item of the table is in neither list or in both.
    """
    try:
        content = json_value(path.read_bytes())
        groups = {key: {str(raw) for raw in content[key]} for side in ("users", "items") for key in _list_names(side)}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give its place with --partition.") from error
    except (DamagedError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not four lists warm_users, cold_users, warm_items, cold_items ({error}).") from error
    cold_masks = []
    for side, ids in (("users", ratings.user_ids), ("items", ratings.item_ids)):
        warm, cold = (np.array([raw in groups[key] for raw in ids]) for key in _list_names(side))
        if (odd := warm == cold).any():
            lists = "both lists" if warm[odd][0] else "neither list"
            raise DataError(f"{path}: {ids[odd][0]} of {ratings.name} is in {lists} of {side}.")
        cold_masks.append(cold)
    return Cold(*cold_masks)


def _list_names(side: str) -> tuple[str, str]:
    return f"warm_{side}", f"cold_{side}"


def split_partition(ratings: Ratings, cold: Cold, partition: Partition, *, seed: int, query: int) -> Split:
    """The test tasks of one partition, its training ratings, and validation tasks of the same kind.

    A tenth of the warm users (by hash) validate and do not train. Where test items are cold, validation is on warm
    items that are left out of training for this purpose. In the partition of warm users and warm items the query
    ratings are left out of training, but the support is not.

    Args:
      ratings: the table.
      cold: which users and items are cold.
      partition: which of them are tested.
      seed: of the choice of query ratings and validation users.
      query: ratings of a task that are predicted.

    Raises:
      DataError: a part of the split is empty.
    """
    chance = 2.0**-63
    valid_users = np.array([seeded_hash(seed, user) * chance < VALID_USERS for user in ratings.user_ids]) & ~cold.users
    valid_items = np.zeros(ratings.num_items, bool)
    if partition.cold_items:
        hashed = np.array([seeded_hash(seed, "item", item) * chance for item in ratings.item_ids])
        valid_items = (hashed < VALID_ITEMS) & ~cold.items
    tasks = {"seed": seed, "query": query, "order": "random"}
    test_items = cold.items if partition.cold_items else ~cold.items
    count = np.bincount(ratings.user[test_items[ratings.item]], minlength=ratings.num_users)
    test_users = (
        (cold.users if partition.cold_users else ~cold.users & ~valid_users) & (count >= LEAST) & (count <= MOST)
    )
    test = held_out(ratings, test_users, test_items, **tasks)
    valid = held_out(ratings, valid_users, valid_items if partition.cold_items else ~cold.items, **tasks)
    training = (~cold.users & ~valid_users)[ratings.user] & (~cold.items & ~valid_items)[ratings.item]
    training[test.query.ravel()] = False
    return make_split(ratings, np.flatnonzero(training), valid, test)
