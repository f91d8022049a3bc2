"""User cold start: a task is a user, its support the first K ratings, its query ratings to be predicted.

In a transposed table (`Ratings.transposed`) all of this is item cold start: "user" is the owner of a task, whatever it
is. Users are split by a seeded hash of their raw id, so adding rows to the data moves nobody. A held-out task's query
is the same for every K. Training tasks are drawn on the device, inside jit, at a cost of O(support + query).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError, Ratings, content_hash
from metarec_jax.tasks.hashing import in_hash_order
from metarec_jax.tasks.user_episodes import Order, Sizes, choose, hide_ids, show
from metarec_jax.types import Array, Episode, Examples, Inputs, Tasks


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
    tenth = tenths(ratings.user_ids, seed)
    training = (tenth < 8) & (fits | (not filter_training))
    parts = [held_out(ratings, fits & (tenth == part), seed=seed, query=query, order=order) for part in (8, 9)]
    rows = np.flatnonzero(training[ratings.user])
    return make_split(ratings, rows, *parts)


def tenths(user_ids: np.ndarray, seed: int) -> np.ndarray:
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


def episodes(ratings: Ratings, held_out: HeldOut, shots: int | None, *, width: int = 0) -> tuple[Episode, np.ndarray]:
    """The held-out tasks with the first `shots` support ratings (None: all), as a task batch.

    The support is padded to `width` at least, so that one compiled program serves every K up to it.

    Returns:
      Episode with leading [T'] on every leaf (numpy), and [T'] the positions in `held_out` of these tasks: only users
      with `shots` support ratings are in it.

    Raises:
      DataError: no user has that many.
    """
    available = (held_out.support >= 0).sum(1)
    if shots is None:
        shots, kept = held_out.support.shape[1], np.arange(len(available))
    else:
        kept = np.flatnonzero(available >= shots)
    if len(kept) == 0:
        query = held_out.query.shape[1]
        raise DataError(
            f"{shots} support + {query} query ratings are more than any held-out user of {ratings.name} has "
            f"(the most is {available.max(initial=0)} + {query}); ask for fewer."
        )
    users = held_out.users[kept]
    support = held_out.support[kept, :shots]
    support = np.pad(support, ((0, 0), (0, max(0, width - shots))), constant_values=-1)
    return Episode(row_examples(ratings, users, support), row_examples(ratings, users, held_out.query[kept])), kept


def row_examples(ratings: Ratings, users: np.ndarray, rows: np.ndarray) -> Examples:
    """Table rows [T, N] (-1 padding) as examples with leading [T, N]; padding repeats row 0 under a mask of 0."""
    safe = np.maximum(rows, 0)
    items = ratings.item[safe]
    context = ratings.user_features.values[users]
    return Examples(
        x=Inputs(
            id=items,
            content=ratings.item_features.values[items],
            context=np.broadcast_to(context[:, None, :], (*rows.shape, context.shape[1])),
        ),
        y=ratings.rating[safe],
        mask=(rows >= 0).astype(np.float32),
    )


class _TrainData(NamedTuple):
    start: Array  # [U] int32 first row of each training user
    count: Array  # [U] int32 number of ratings
    item: Array  # [R] int32
    rating: Array  # [R] float32
    content: Array  # [I, F] float32
    context: Array  # [U, G] float32
    unrated: Array  # [N] int32 items without a training rating


def training_tasks(
    train: Ratings,
    *,
    support: int,
    query: int,
    vary_support: bool = True,
    order: Order = "random",
    unseen: float = 0.0,
) -> Tasks:
    """Training users as a task distribution on the device; every user is equally likely, all their ratings usable.

    Args:
      train: the training part of the table; users with a single rating cannot be a task and are passed over.
      support, query: the sizes S and Q of an episode. A user with n ratings gives min(Q, n // 2) query ratings and at
        most S of what is left as support.
      vary_support: draw the number of support ratings uniformly from 0..S in every episode, so that the learner
        meets every K in training; else it is S.
      order: in "time" order no support rating is younger than a query rating.
      unseen: share of the episodes in which all items have the ids of random items without a training rating (where
        there are any), and only their content is their own: so a learner meets items that it knows by content alone,
        and what it learns of such ids is what there is to know of an item that nobody has rated.

    Raises:
      DataError: time order without timestamps, or no user with two ratings.
    """
    check_order(train, order)
    unrated = np.flatnonzero(np.bincount(train.item, minlength=train.num_items) == 0)
    counts = np.diff(train.user_offsets)
    users = np.flatnonzero(counts >= 2)
    if len(users) == 0:
        raise DataError(f"{train.name}: no training user has two ratings, so there is no task to train on.")
    data = _TrainData(
        start=jnp.asarray(train.user_offsets[users], jnp.int32),
        count=jnp.asarray(counts[users], jnp.int32),
        item=jnp.asarray(train.item),
        rating=jnp.asarray(train.rating),
        content=jnp.asarray(train.item_features.values),
        context=jnp.asarray(train.user_features.values[users]),
        unrated=jnp.asarray(unrated, jnp.int32),
    )

    sizes = Sizes(support, query, vary_support, order)

    def sample(data: _TrainData, key: Array) -> Episode:
        chosen, places = choose(data.count, key, sizes)
        rows = data.start[chosen.user] + places
        episode = show(data, sizes, chosen, data.item[rows], data.rating[rows])
        if unseen and len(unrated):
            return hide_ids(data.unrated, jax.random.fold_in(key, 1), episode, unseen)
        return episode

    return Tasks(data, sample)
