"""The benchmark of ranking a whole catalogue for a cold user, from K items that he liked."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from absl import logging

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Method, Trained
from metarec_jax.data.table import Ratings
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.metrics import RANKING, Metric
from metarec_jax.eval.ranking import rank_catalogue
from metarec_jax.recipes import RANKING_RECIPES
from metarec_jax.tasks.catalogue import (
    ImplicitUser,
    default_threshold,
    held_out_implicit_users,
    liked_only,
    rated_by,
    split_liked,
    training_catalogue,
)
from metarec_jax.tasks.splits import Split
from metarec_jax.train.store import Store
from metarec_jax.types import Array, Params


class CatalogueTasks(NamedTuple):
    """Held-out users at one K, and the catalogue."""

    users: ImplicitUser  # leading [T]
    content: Array  # [I, F] of all items


def catalogue_ranking(
    shots: Sequence[int] = (0, 1, 3, 5, 10), *, liked: float | None = None, least: int = 15, rank_users: bool = False
) -> Benchmark:
    """All items are candidates for a new user, known are K items that he likes; or all users for a new item.

    Args:
      shots: numbers K of known items.
      liked: the rating from which an item is liked; -inf: whatever was rated. None: three quarters up the scale.
      least: held-out users like at least so many items.
      rank_users: users and items change places.

    Raises:
      ValueError: `least` leaves nothing to be found.
    """
    if max(shots) >= least:
        raise ValueError(f"least={least} leaves nothing to be found after {max(shots)} items are known.")

    def folds(ratings: Ratings, seed: int, store: Store) -> list[Fold]:
        del store
        threshold = default_threshold(ratings) if liked is None else liked
        own = liked_only(ratings, threshold)
        if np.isfinite(threshold):
            share = 100 * len(own.rating) / len(ratings.rating)
            logging.info("liked is what is rated %g or more, %.0f%% of all; --liked=any counts all.", threshold, share)
        everything = len(own.rating) == len(ratings.rating)
        split = split_liked(own, seed=seed, support=max(shots), least=least, everything=everything)
        return [catalogue_fold(ratings, own, split, seed, shots)]

    def table(ratings: Ratings) -> Ratings:
        return ratings.transposed() if rank_users else ratings

    name, default = "catalogue_ranking", ("set_encoder", "neighbour_encoder")
    return Benchmark(name, folds, measure, answer, RANKING, RANKING_RECIPES, default, table)


def catalogue_fold(ratings: Ratings, liked: Ratings, split: Split, seed: int, shots: Sequence[int]) -> Fold:
    """The tasks of a split of `liked`, what `tasks.catalogue.liked_only` leaves of all ratings, at every K."""
    train, content = liked.keep_rows(split.train_rows), jnp.asarray(liked.item_features.values)
    tables = {"train": train, "rated": rated_by(ratings, train), "all": liked}

    @functools.cache
    def held_out(part: str) -> dict[Shots, HeldOut]:
        own = split.valid if part == "valid" else split.test
        names = liked.user_ids[own.users]
        users = {k: jax.tree.map(jnp.asarray, held_out_implicit_users(liked, own, k)) for k in shots}
        return {k: HeldOut(CatalogueTasks(batch, content), names) for k, batch in users.items()}

    tasks = functools.cache(lambda table: training_catalogue(tables[table], support=max(shots) or 1))
    return Fold(seed, tables, tasks, held_out, f"seed_{seed}", split, lambda: (held_out("valid"), held_out("test")))


def measure(
    name: str, method: Method, params: Params, held_out: HeldOut, wanted: tuple[Metric, ...]
) -> dict[str, np.ndarray]:
    """Metric -> [T] of the ranked catalogue."""
    tasks = held_out.tasks
    values = rank_catalogue(name, method, params, tasks.content, tasks.users, held_out.users).values
    return {metric.name: values[metric.name] for metric in wanted}


def answer(name: str, trained: Trained, fold: Fold, shots: list[Shots]) -> dict[Shots, Answers]:
    """The metrics of the test users, and as predictions the expected rank of every item that was to be found."""
    answers, table = {}, fold.tables["all"]
    owner, other = table.roles  # where users are ranked, the owner of a task is an item
    for k in shots:
        held_out = fold.held_out("test")[k]
        users = held_out.tasks.users
        ranked = rank_catalogue(name, trained.method, trained.params, held_out.tasks.content, users, held_out.users)
        relevant = np.asarray(users.relevant)
        task, place = np.nonzero(relevant >= 0)
        rows = pl.DataFrame(
            {
                "task": task.astype(np.int32),
                owner: held_out.users[task],
                other: table.item_ids[relevant[task, place]],
                "target": np.ones(len(task), np.float32),
                "prediction": ranked.rank[task, place],
            }
        )
        answers[k] = Answers(ranked.values, held_out.users, rows)
    return answers
