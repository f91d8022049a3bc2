"""Benchmarks of predicted ratings: cold users, cold items, cold users on cold items, at every number K of ratings.

A learner is a function of one task and does not know which benchmark it is in: in `Inputs` the id and the content are
the candidate's, the context is the task's owner's, whichever of them is the user.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Method, Trained
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.eval import metrics
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.metrics import RATING, Metric
from metarec_jax.eval.predict import PredictionError, mean_squared_errors, predict_tasks
from metarec_jax.priors.folds import user_folds
from metarec_jax.recipes import ITEM_RECIPES, RECIPES
from metarec_jax.tasks import splits
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import Split, split_users
from metarec_jax.tasks.user_episodes import Order
from metarec_jax.tasks.users import training_tasks
from metarec_jax.tasks.users_and_items import split_users_and_items
from metarec_jax.train.store import Store
from metarec_jax.types import Params, Tasks

# RMSE validates, and nDCG@5 where there are only scores.
METRICS = tuple(sorted(RATING, key=lambda metric: metric.name not in ("rmse", "ndcg@5")))


def ratings_benchmark(
    name: str,
    *,
    split: Callable[[Ratings, int], Split],
    shots: Sequence[Shots],
    query: int,
    order: Order,
    recipes: Mapping[str, Any],
    default: Sequence[str],
    unseen: float = 0.0,
    table: Callable[[Ratings], Ratings] = lambda ratings: ratings,
) -> Benchmark:
    """A benchmark of predicted ratings.

    Args:
      name: in results.
      split: (table, seed) -> which ratings train, and the held-out tasks.
      shots: numbers K of known ratings, or "all": whatever the query leaves.
      query, order: of the training episodes; see `tasks.users.training_tasks`.
      recipes: the methods that answer it.
      default: names of the learners that run when nothing is said.
      unseen: fraction of the training episodes whose items are known by content alone.
      table: of a data set: the table whose `user` column holds the tasks' owners.
    """

    def folds(ratings: Ratings, seed: int, store: Store) -> list[Fold]:
        del store
        return [rating_fold(ratings, split(ratings, seed), seed, tuple(shots), query, order, unseen)]

    def answer(name: str, trained: Trained, fold: Fold, asked: list[Shots]) -> dict[Shots, Answers]:
        held_out = fold.held_out("test")
        return {k: predicted(name, trained, fold.tables["all"], held_out[k]) for k in asked}

    protocol = {"shots": list(shots), "query": query, "order": order}
    return Benchmark(name, folds, measure, answer, METRICS, recipes, tuple(default), table, protocol)


def rating_fold(
    ratings: Ratings, split: Split, seed: int, shots: Sequence[Shots], query: int, order: Order, unseen: float
) -> Fold:
    """The tasks of a split at every K; nothing is made of the test tasks' ratings before they are asked for."""
    check_levels(ratings)
    width = max((k for k in shots if isinstance(k, int)), default=0)
    train = ratings.keep_rows(split.train_rows)

    def held_out_at(part: splits.HeldOut, k: Shots) -> HeldOut:
        tasks, kept = episodes(ratings, part, None if k == "all" else int(k), width=width)
        return HeldOut(tasks, ratings.user_ids[part.users[kept]], ratings.scale)

    @functools.cache
    def held_out(part: str) -> dict[Shots, HeldOut]:
        return {k: held_out_at(split.valid if part == "valid" else split.test, k) for k in shots}

    support = max((k for k in shots if isinstance(k, int)), default=20) or 1
    room = (ratings.num_users, len(ratings.rating))  # the same for every seed
    sizes = {"support": support, "query": query, "order": order, "unseen": unseen, "room": room}

    @functools.cache
    def tasks(table: str, folds: bool = False) -> Tasks:
        return training_tasks(train, **sizes, folds=user_folds(train) if folds else None)

    tables = {"train": train, "all": ratings}

    def check() -> None:
        splits.check_shots(ratings, split, shots)
        held_out("valid"), held_out("test")

    return Fold(seed, tables, tasks, held_out, f"seed_{seed}", split, check)


def check_levels(ratings: Ratings) -> None:
    """Check that there is something to predict.

    Raises:
      DataError: all ratings are the same.
    """
    if len(ratings.levels) == 1:
        raise DataError(
            f"{ratings.name}: every rating is {ratings.levels[0]:g}, so there is nothing to predict; "
            "experiments/catalogue_ranking.py ranks what was chosen."
        )


def measure(
    name: str, method: Method, params: Params, held_out: HeldOut, wanted: tuple[Metric, ...]
) -> dict[str, np.ndarray]:
    """Metric -> [T] of predicted ratings."""
    if [metric.name for metric in wanted] == ["rmse"]:  # without the predictions
        errors = mean_squared_errors(method, params, held_out.tasks)
        if not np.isfinite(errors).all():  # NaN is no undefined value here
            raise PredictionError(f"{name} predicts no number for {held_out.users[~np.isfinite(errors)][0]}.")
        return {"rmse": errors}
    predictions = predict_tasks(name, method, params, held_out.tasks, held_out.users)
    query = held_out.tasks.query
    return metrics.per_task(predictions, query.y, query.mask, held_out.scale, wanted)


def predicted(
    name: str, trained: Trained, ratings: Ratings, held_out: HeldOut, wanted: tuple[Metric, ...] = METRICS
) -> Answers:
    """Predictions of a trained method at one K, and metrics."""
    predictions = predict_tasks(name, trained.method, trained.params, held_out.tasks, held_out.users)
    return scored(predictions, trained.method.output, ratings, held_out, wanted)


def scored(
    predictions: np.ndarray, output: str, ratings: Ratings, held_out: HeldOut, wanted: tuple[Metric, ...] = METRICS
) -> Answers:
    """Predictions [T, Q] of a method with this output as frames, and metrics."""
    query = held_out.tasks.query
    values = metrics.per_task(predictions, query.y, query.mask, ratings.scale, wanted)
    if output == "score":  # its units mean nothing
        undefined = np.full(len(predictions), np.nan, np.float32)
        values |= {metric.name: undefined for metric in wanted if metric.needs_units}
    task, place = np.nonzero(query.mask)
    owner, other = ratings.roles  # of a transposed table the owner of a task is an item
    rows = pl.DataFrame(
        {
            "task": task.astype(np.int32),
            owner: held_out.users[task],
            other: ratings.item_ids[query.x.id[task, place]],
            "target": query.y[task, place],
            "prediction": predictions[task, place],
        }
    )
    return Answers(values, held_out.users, rows)


def _hashed(split: Callable[..., Split], query: int, order: Order, bounds: dict[str, Any]) -> Callable:
    return lambda ratings, seed: split(ratings, seed=seed, query=query, order=order, **bounds)


def _cold_start(
    name: str, shots: Sequence[Shots], query: int, order: Order, split: Any, bounds: dict[str, Any], **more: Any
) -> Benchmark:
    """With a hashed split, unless another one is given."""
    hashed = more.pop("hashed")
    own = split or _hashed(hashed, query, order, bounds)
    return ratings_benchmark(name, split=own, shots=shots, query=query, order=order, **more)


def user_cold_start(
    shots: Sequence[Shots] = (0, 1, 3, 5, 10, 20),
    query: int = 10,
    order: Order = "random",
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """New users: 80% of the users train, the ratings of the others are predicted from K of them.

    Args:
      shots: numbers K of known ratings; "all" is whatever the query leaves.
      query: ratings of a held-out user that are predicted, the same at every K.
      order: in which a user's ratings are revealed: "random", or by "time".
      split: (ratings, seed) -> split, instead of a hashed one.
      **bounds: of the hashed split: `min_ratings`, `max_ratings`, `filter_training`, see `splits.split_users`.
    """
    default = ("protonet", "maml", "ridge", "attentive_ridge")
    more = {"hashed": split_users, "recipes": RECIPES, "default": default}
    return _cold_start("user_cold_start", shots, query, order, split, bounds, **more)


def item_cold_start(
    shots: Sequence[Shots] = (0, 1, 3, 5, 10),
    query: int = 10,
    order: Order = "random",
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """New items: users and items change places, so that a task is an item and its support K raters' ratings of it."""
    default = ("metaemb", "mwuf", "dropoutnet", "clcrec", "ridge", "attentive_ridge", "history_ridge")
    more = {"hashed": split_users, "recipes": ITEM_RECIPES, "default": default, "table": Ratings.transposed}
    return _cold_start("item_cold_start", shots, query, order, split, bounds, **more)


def both_cold_start(
    shots: Sequence[Shots] = (0, 1, 3, 5),
    query: int = 5,
    order: Order = "random",
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """New users on new items: nothing that is asked about, and nobody who is asked, occurs in training."""
    default = ("protonet", "maml", "ridge", "attentive_ridge")
    more = {"hashed": split_users_and_items, "recipes": RECIPES, "default": default, "unseen": 1.0}
    return _cold_start("both_cold_start", shots, query, order, split, bounds, **more)


def item_warm_up(
    batch: int = 10,
    query: int = 10,
    order: Order = "time",
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """A new item after 0, 1, 2 and 3 batches of ratings, in the order of time."""
    benchmark = item_cold_start([number * batch for number in range(4)], query, order, split, **bounds)
    return benchmark._replace(name="item_warm_up")
