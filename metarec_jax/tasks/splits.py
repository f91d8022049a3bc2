"""User cold start: a task is a user, the support are the first K ratings, and the query ratings are predicted.

With a transposed table (`Ratings.transposed`) the same functions give item cold start: "user" is the owner of a task,
which then is an item. Users are split by a seeded hash of their raw id, so adding rows to the data does not change the
split. A held-out task's query is the same for every K. Training tasks are in `tasks.users`, held-out tasks as episodes
in `tasks.episodes`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError, Ratings, content_hash
from metarec_jax.tasks.hashing import in_hash_order, in_time_order
from metarec_jax.tasks.user_episodes import Order

ORDERS: dict[Order, Callable[[Ratings, np.ndarray, int], np.ndarray]] = {"random": in_hash_order, "time": in_time_order}


class HeldOut(NamedTuple):
    """Fixed tasks. Support and query are row numbers of the ratings table, padded with -1 at the end."""

    users: np.ndarray  # [T] int32 user indices
    support: np.ndarray  # [T, S] int64, in the order in which ratings are revealed
    query: np.ndarray  # [T, Q] int64


@dataclasses.dataclass(frozen=True)
class Split:
    """Training rows, and the held-out validation and test tasks. A user is in one of the three parts only."""

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
    """80% of the users train, 10% validate, 10% test; a user's part depends on (seed, raw user id) alone.

    Args:
      ratings: the table.
      seed: another seed gives another split.
      query: number of query ratings of a held-out user: random ones in random order, the last ones in time order.
        Held-out users with fewer ratings are left out.
      order: the order of the other ratings, the support: by a hash of (seed, user, item), or by time, and by the hash
        among ratings of the same time.
      min_ratings, max_ratings: bounds on the number of ratings of a held-out user; others are left out.
      filter_training: whether these bounds hold for training users too.

    Raises:
      DataError: time order without timestamps, or a part of the split is empty.
    """
    check_order(ratings, order)
    fits = has_between(ratings, min_ratings, max_ratings)
    fold_of_user = assign_folds(ratings.user_ids, seed)
    training = (fold_of_user < 8) & (fits | (not filter_training))
    held_out_tasks = [
        held_out(ratings, fits & (fold_of_user == fold), seed=seed, query=query, order=order) for fold in (8, 9)
    ]
    rows = np.flatnonzero(training[ratings.user])
    most = min(longest(ratings, fits & (fold_of_user == fold)) for fold in (8, 9))
    return make_split(ratings, rows, *held_out_tasks, remedy=fewer(most, query, (0,)))


def assign_folds(user_ids: np.ndarray, seed: int) -> np.ndarray:
    """[U] folds 0 to 9, by seed and raw id alone: users of folds 0 to 7 train, of 8 validate, of 9 test."""
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
    """The tasks of some users, with their ratings of some items.

    Args:
      ratings: the table.
      users: [U] bool; users with fewer than `query` of these ratings are left out.
      items: [I] bool; None: all items.
      seed, query, order: see `split_users`.
    """
    rows = np.arange(len(ratings.item)) if items is None else np.flatnonzero(items[ratings.item])
    bounds = np.searchsorted(rows, ratings.user_offsets)
    chosen = np.flatnonzero(users & (np.diff(bounds) >= query))
    support, queries = [], []
    for user in chosen:
        user_rows = rows[bounds[user] : bounds[user + 1]]
        user_rows = ORDERS[order](ratings, user_rows, seed)
        support.append(user_rows[: len(user_rows) - query])
        queries.append(user_rows[len(user_rows) - query :])
    return HeldOut(chosen.astype(np.int32), pad_rows(support), pad_rows(queries))


def longest(ratings: Ratings, users: np.ndarray, items: np.ndarray | None = None) -> int:
    """The most ratings that one of some users has, of some items; masks as of `held_out`."""
    rows = users[ratings.user] & (True if items is None else items[ratings.item])
    return int(np.bincount(ratings.user[rows], minlength=1).max())


def check_shots(ratings: Ratings, split: Split, shots: Sequence[int | str]) -> None:
    """Check that both parts of the split have tasks at every K.

    Raises:
      DataError: nobody has so many ratings; the message says what works.
    """
    numbers = [k for k in shots if isinstance(k, int)]
    query = max(part.query.shape[1] for part in (split.valid, split.test))
    room = min(int((part.support >= 0).sum(1).max()) for part in (split.valid, split.test))
    if (largest := max(numbers, default=0)) > room:
        raise DataError(
            f"{ratings.name}: {largest} support + {query} query ratings are more than the held-out "
            f"{ratings.roles[0]}s have; {fewer(room + query, query, numbers)}."
        )


def fewer(most: int, query: int, shots: Sequence[int]) -> str:
    """What to ask for where K + query ratings are too many.

    Args:
      most: the largest K + query that works.
      query: what was asked for.
      shots: the Ks that were asked for.
    """
    if most == 0:
        return "ask for wider bounds, or give it more data"
    query = query if query < most else (most + 1) // 2
    room = most - query
    ks = ",".join(map(str, sorted({0, room, *(k for k in shots if k <= room)})))
    return f"the largest K + query that works is {most}, for example --query={query} --shots={ks}"


def has_between(ratings: Ratings, least: int, most: int | None) -> np.ndarray:
    """[U] bool, whether a user has `least` to `most` ratings; None: no upper bound."""
    counts = np.diff(ratings.user_offsets)
    return (counts >= least) & (counts <= (np.inf if most is None else most))


def check_order(ratings: Ratings, order: Order) -> None:
    """Check that time order is possible.

    Raises:
      DataError: the order is "time" and the table has no timestamps.
    """
    if order == "time" and ratings.timestamp is None:
        raise DataError(f"{ratings.untimed or f'{ratings.name} has no timestamps'}; use random order.")


def make_split(
    ratings: Ratings,
    train_rows: np.ndarray,
    valid: HeldOut,
    test: HeldOut,
    *,
    remedy: str = "ask for fewer query ratings or wider bounds",
) -> Split:
    """A split with its sha256.

    Raises:
      DataError: a part of the split is empty; `remedy` says what to do.
    """
    owners = f"{ratings.roles[0]}s"
    for content, size in (
        ("training ratings", train_rows),
        (f"validation {owners}", valid.users),
        (f"test {owners}", test.users),
    ):
        if len(size) == 0:
            raise DataError(f"{ratings.name}: the split has no {content}; {remedy}.")
    split = Split(train_rows, valid, test, "")
    return dataclasses.replace(split, sha256=content_hash(split_frame(ratings, split)))


def split_frame(ratings: Ratings, split: Split) -> pl.DataFrame:
    """The split as a frame, one row a rating: user and item (or item and user, by the table's roles), rating, role (see
    `split_file`), timestamp (where the table has it) and place, the position within the support or query."""
    groups = [("train", split.train_rows, np.zeros(len(split.train_rows), np.int32))]
    for name, held in (("valid", split.valid), ("test", split.test)):
        for kind, rows in (("support", held.support), ("query", held.query)):
            place = np.broadcast_to(np.arange(rows.shape[1], dtype=np.int32), rows.shape)
            groups.append((f"{name}_{kind}", rows[rows >= 0], place[rows >= 0]))
    rows = np.concatenate([group[1] for group in groups])
    owner, candidate = ratings.roles
    columns = {
        owner: ratings.user_ids[ratings.user[rows]],
        candidate: ratings.item_ids[ratings.item[rows]],
        "rating": ratings.rating[rows],
        "role": np.repeat([group[0] for group in groups], [len(group[1]) for group in groups]),
    }
    if ratings.timestamp is not None:
        columns["timestamp"] = ratings.timestamp[rows]
    return pl.DataFrame(columns).with_columns(place=pl.Series(np.concatenate([group[2] for group in groups])))


def tied_cuts(ratings: Ratings, held: HeldOut) -> float | None:
    """The share of the tasks in time order whose last support rating and first query rating are of the same time, so
    that a hash decided which is which; None where there are no times, or a task is not in time order."""
    if ratings.timestamp is None or held.support.shape[1] == 0:
        return None
    last = np.where(held.support >= 0, ratings.timestamp[held.support], np.iinfo(np.int64).min).max(axis=1)
    first = np.where(held.query >= 0, ratings.timestamp[held.query], np.iinfo(np.int64).max).min(axis=1)
    return float(np.mean(last == first)) if (last <= first).all() else None


def pad_rows(lists: list[np.ndarray]) -> np.ndarray:
    """T lists of row numbers as one int64 array [T, longest], padded with -1."""
    table = np.full((len(lists), max((len(rows) for rows in lists), default=0)), -1, np.int64)
    for task, rows in enumerate(lists):
        table[task, : len(rows)] = rows
    return table
