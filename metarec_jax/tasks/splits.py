"""User cold start: a task is a user, its support the first K ratings, its query ratings to be predicted.

In a transposed table (`Ratings.transposed`) all of this is item cold start: "user" is the owner of a task, whatever it
is. Users are split by a seeded hash of their raw id, so adding rows to the data moves nobody. A held-out task's query
is the same for every K. Training tasks are drawn on the device, inside jit, at a cost of O(support + query).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import polars as pl

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError, Ratings, content_hash
from metarec_jax.tasks.hashing import in_hash_order
from metarec_jax.tasks.user_episodes import Order


class HeldOut(NamedTuple):
    """Fixed tasks. Entries are row numbers of the ratings table; -1 is padding at the end."""

    users: np.ndarray  # [T] int32 user indices
    support: np.ndarray  # [T, S] int64, in the order in which they are revealed
    query: np.ndarray  # [T, Q] int64


@dataclasses.dataclass(frozen=True)
class Split:
    """Which ratings train, and the held-out validation and test tasks. No user is in two parts."""

    train_rows: np.ndarray  # [R'] int64 row numbers of the ratings table
    valid: HeldOut
    test: HeldOut
    sha256: str  # of every (user, item, role, place in the support)


def split_users(
    ratings: Ratings,
    *,
    seed: int,
    query: int,
    order: Order = "random",
    min_ratings: int = 0,
    max_ratings: int | None = None,
    filter_training: bool = False,
) -> Split:
    """80% of the users train, 10% validate, 10% test; who goes where depends on (seed, raw user id) alone.

    Args:
      ratings: the table.
      seed: another seed, another split.
      query: ratings of a held-out user that are predicted: in random order `query` random ones, in time order the
        last `query`. Held-out users with fewer are left out.
      order: how the rest becomes the support: by a hash of (seed, user, item), or by time.
      min_ratings, max_ratings: held-out users have at least, at most so many ratings.
      filter_training: whether these two bounds hold for training users too.

    Raises:
      DataError: time order without timestamps, or no user left in a part.
    """
    check_order(ratings, order)
    fits = has_between(ratings, min_ratings, max_ratings)
    tenth = assign_folds(ratings.user_ids, seed)
    training = (tenth < 8) & (fits | (not filter_training))
    parts = [held_out(ratings, fits & (tenth == part), seed=seed, query=query, order=order) for part in (8, 9)]
    rows = np.flatnonzero(training[ratings.user])
    return make_split(ratings, rows, *parts)


def assign_folds(user_ids: np.ndarray, seed: int) -> np.ndarray:
    """[U] 0 to 9, by the raw id alone: users of 0 to 7 train, of 8 validate, of 9 test."""
    return np.array([seeded_hash(seed, user) % 10 for user in user_ids])


def held_out(
    ratings: Ratings,
    users: np.ndarray,
    items: np.ndarray | None = None,
    *,
    seed: int,
    query: int,
    order: Order,
) -> HeldOut:
    """The tasks of some users, of their ratings of some items; see `split_users`.

    Args:
      ratings: the table.
      users: [U] bool; those with fewer than `query` of these ratings are left out.
      items: [I] bool; None: all.
      seed, query, order: which of the ratings are the query, and the order of the rest.
    """
    rows = np.arange(len(ratings.item)) if items is None else np.flatnonzero(items[ratings.item])
    bounds = np.searchsorted(rows, ratings.user_offsets)
    chosen = np.flatnonzero(users & (np.diff(bounds) >= query))
    support, queries = [], []
    for user in chosen:
        own = rows[bounds[user] : bounds[user + 1]]
        if order == "random":
            own = in_hash_order(ratings, own, seed)
        support.append(own[: len(own) - query])
        queries.append(own[len(own) - query :])
    return HeldOut(chosen.astype(np.int32), pad_rows(support), pad_rows(queries))


def has_between(ratings: Ratings, least: int, most: int | None) -> np.ndarray:
    """[U] whether a user has at least, and at most so many ratings; None: any number."""
    counts = np.diff(ratings.user_offsets)
    return (counts >= least) & (counts <= (np.inf if most is None else most))


def check_order(ratings: Ratings, order: Order) -> None:
    """Raises DataError where the order in time is asked for and there are no times."""
    if order == "time" and ratings.timestamp is None:
        raise DataError(f"{ratings.name} has no timestamps; use random order.")


def make_split(ratings: Ratings, train_rows: np.ndarray, valid: HeldOut, test: HeldOut) -> Split:
    """A split with its hash.

    Raises:
      DataError: a part is empty.
    """
    for part, size in (("training ratings", train_rows), ("validation users", valid.users), ("test users", test.users)):
        if len(size) == 0:
            raise DataError(f"{ratings.name}: the split has no {part}; ask for fewer query ratings or wider bounds.")
    split = Split(train_rows, valid, test, "")
    return dataclasses.replace(split, sha256=content_hash(split_frame(ratings, split)))


def split_frame(ratings: Ratings, split: Split) -> pl.DataFrame:
    """One row a rating: user and item (or item and user, by the table's roles), rating, role, timestamp (where known)
    and place (order within a support)."""
    parts = [("train", split.train_rows, np.zeros(len(split.train_rows), np.int32))]
    for name, held in (("valid", split.valid), ("test", split.test)):
        for kind, rows in (("support", held.support), ("query", held.query)):
            place = np.broadcast_to(np.arange(rows.shape[1], dtype=np.int32), rows.shape)
            parts.append((f"{name}_{kind}", rows[rows >= 0], place[rows >= 0]))
    rows = np.concatenate([part[1] for part in parts])
    owner, other = ratings.roles
    columns = {
        owner: ratings.user_ids[ratings.user[rows]],
        other: ratings.item_ids[ratings.item[rows]],
        "rating": ratings.rating[rows],
        "role": np.repeat([part[0] for part in parts], [len(part[1]) for part in parts]),
    }
    if ratings.timestamp is not None:
        columns["timestamp"] = ratings.timestamp[rows]
    return pl.DataFrame(columns).with_columns(place=pl.Series(np.concatenate([part[2] for part in parts])))


def pad_rows(lists: list[np.ndarray]) -> np.ndarray:
    """Lists of row numbers as one [T, longest] int64 array, -1 where a list has ended."""
    table = np.full((len(lists), max((len(rows) for rows in lists), default=0)), -1, np.int64)
    for task, rows in enumerate(lists):
        table[task, : len(rows)] = rows
    return table
