"""What a run over devices and hosts trains on: a table in shards on the devices, or columns on the host's disk."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metarec_jax.data.io.columns import Columns, open_columns
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.eval.streaming import HeldOutUsers
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.shards import sharded_tasks
from metarec_jax.tasks.splits import assign_folds, held_out, split_users
from metarec_jax.tasks.streamed import Stream
from metarec_jax.train import distributed, prefetch
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.step import TrainSteps
from metarec_jax.types import Episode, Tasks


class Sizes(NamedTuple):
    """Of a run."""

    batch: int  # tasks a step, of all devices together
    support: int
    query: int
    length: int  # steps between two validations


class ScaleData(NamedTuple):
    """What a run trains, validates and tests on."""

    name: str  # of the data set
    train: Ratings  # what learners are built for: the training users, or some of them
    tasks: Tasks  # of the training users, on the devices
    valid: Episode  # [T] tasks of the validation users
    test: HeldOutUsers  # the test users
    # The same train steps, with tasks to train on, to the end of a block.
    feed: Callable[[TrainSteps], contextlib.AbstractContextManager[TrainSteps]]


def in_shards(ratings: Ratings, sharding: Sharding, sizes: Sizes, *, shards: int, seed: int) -> ScaleData:
    """A table, of whose training users each device has its shards."""
    split = split_users(ratings, seed=seed, query=sizes.query)
    train, mesh = ratings.keep_rows(split.train_rows), sharding.mesh()
    own = distributed.own_parts(shards, mesh)
    tasks = sharded_tasks(train, shards=shards, local=own, support=sizes.support, query=sizes.query)
    tasks = tasks._replace(data=distributed.from_parts(tasks.data, mesh))
    valid, _ = episodes(ratings, split.valid, sizes.support)
    test, kept = episodes(ratings, split.test, sizes.support)
    names = ratings.user_ids[split.test.users[kept]]

    def blocks(own: np.ndarray, size: int) -> Iterator[Episode]:
        for rows in _cut(own, size):
            yield jax.tree.map(lambda leaf, rows=rows: leaf[rows], test)

    return ScaleData(ratings.name, train, tasks, valid, HeldOutUsers(names, blocks), contextlib.nullcontext)


def in_columns(folder: Path, sharding: Sharding, sizes: Sizes, *, seed: int, fitted: int, validated: int) -> ScaleData:
    """Columns, split as a table would be.

    Args:
      folder: of them.
      sharding, sizes: of the run.
      seed: of the split.
      fitted: training users, at random, who are read into memory for what is fitted before the training: the mean and
        the scale of the ratings, for some learners a start.
      validated: validation users, at random, who are asked.
    """
    columns = open_columns(folder)
    fold, rng = assign_folds(columns.user_ids, seed), np.random.default_rng(seed)

    def some(users: np.ndarray, number: int) -> np.ndarray:
        return np.sort(rng.choice(users, min(number, len(users)), replace=False))

    training = np.flatnonzero(fold < 8)
    train = columns.table(some(training, fitted))
    asked = columns.table(some(np.flatnonzero(fold == 8), validated))
    valid = _tasks(asked, sizes, seed)
    stream = Stream(columns, training, support=sizes.support, query=sizes.query)
    tasks = stream.tasks._replace(data=distributed.everywhere(stream.tasks.data, sharding.mesh()))
    feed = partial(prefetch.prefetched, stream=stream, batch=sizes.batch, length=sizes.length, sharding=sharding)
    test = _asked(columns, np.flatnonzero(fold == 9), sizes, seed)
    return ScaleData(columns.name, train, tasks, valid, test, feed)


def _asked(columns: Columns, users: np.ndarray, sizes: Sizes, seed: int) -> HeldOutUsers:
    """Users [n] ascending who have ratings enough; a block of them is read from the disk when it is asked for.

    Raises:
      DataError: there are none.
    """
    users = users[columns.counts[users] >= sizes.support + sizes.query]
    if len(users) == 0:
        raise DataError(f"{columns.name}: no test user has {sizes.support} + {sizes.query} ratings; ask for fewer.")

    def blocks(own: np.ndarray, size: int) -> Iterator[Episode]:
        for some in _cut(users[own], size):
            yield _tasks(columns.table(some), sizes, seed)

    return HeldOutUsers(columns.user_ids[users], blocks)


def _tasks(ratings: Ratings, sizes: Sizes, seed: int) -> Episode:
    """[T] tasks of all users of a table who have ratings enough."""
    everyone = np.ones(ratings.num_users, bool)
    held = held_out(ratings, everyone, seed=seed, query=sizes.query, order="random")
    return episodes(ratings, held, sizes.support)[0]


def _cut(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """So many at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
