"""The benchmark of online adaptation: each rating of a held-out user is predicted before it is revealed, in time order.

Methods with an exact `update` take a rating in by it, and forget what they knew by a factor that is chosen on the
validation users (1 forgets nothing); the others adapt to all that is known anew; MAML does the better of that and a
step on the newest rating.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from metarec_jax.benchmarks import ratings as ratings_module
from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Method, Trained
from metarec_jax.benchmarks.ratings import rating_fold
from metarec_jax.data.table import Ratings
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.metrics import RATING, Metric
from metarec_jax.eval.online import Replay, again, errors_by_bin, follow, replayed
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes import RECIPES
from metarec_jax.tasks import splits
from metarec_jax.tasks.histories import histories
from metarec_jax.tasks.splits import Split, split_users
from metarec_jax.train.store import Store
from metarec_jax.types import Params

FRACTIONS = (1.0, 0.999, 0.997, 0.99, 0.97)  # of what was learnt, kept from one rating to the next
STARTS = (0, 1, 5, 10, 20, 50)  # of the bins of positions
RATED = {name: recipe for name, recipe in RECIPES.items() if recipe.output == "rating"}


def online(
    positions: int = 101,
    shots: Sequence[Shots] = (0, 5, 10, 20, 50),
    query: int = 10,
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """Each rating of a test user is predicted from those before it. K = 10 is the error at positions from 10 to where
    the next bin begins, "all" that of all positions; a user counts once in each.

    Args:
      positions: ratings of a user that are followed, at most.
      shots, query: of meta-training and its early stopping.
      split, **bounds: as of `ratings.user_cold_start`.
    """
    starts = [start for start in STARTS if start < positions]
    own = split or (lambda ratings, seed: split_users(ratings, seed=seed, query=query, order="time", **bounds))

    def folds(ratings: Ratings, seed: int, store: Store) -> list[Fold]:
        del store
        return [online_fold(ratings, own(ratings, seed), seed, shots, query, positions)]

    def answer(name: str, trained: Trained, fold: Fold, shots: list[Shots]) -> dict[Shots, Answers]:
        del shots
        return followed(name, trained, fold, starts)

    default = ("protonet", "maml", "ridge", "alpaca")
    return Benchmark("online", folds, measure, answer, RATING[:1], RATED, default, same_query=False)


def online_fold(ratings: Ratings, split: Split, seed: int, shots: Sequence[Shots], query: int, positions: int) -> Fold:
    """Held-out users' ratings in the order of time; early stopping watches the validation users at every K."""
    training = rating_fold(ratings, split, seed, shots, query, "time", 0.0)

    @functools.cache
    def held_out(part: str) -> dict[Shots, HeldOut]:
        own: splits.HeldOut = split.valid if part == "valid" else split.test
        tasks = jax.tree.map(jnp.asarray, histories(ratings, own, positions, seed))
        return {"all": HeldOut(tasks, ratings.user_ids[own.users])}

    def watched() -> Mapping[Shots, HeldOut]:
        return training.held_out("valid")

    return Fold(seed, training.tables, training.tasks, held_out, training.folder, split, watched, watched=watched)


def ways(method: Method) -> dict[str, Replay]:
    """The ways in which a method can take a rating in, by what a person would call them."""
    if method.update is None:
        return {"again": again}
    if method.forget is None:  # its update is not the batch solution, so that this one is another method
        return {"again": again, "update": follow}
    return {f"fraction {fraction:g}": partial(follow, fraction=fraction) for fraction in FRACTIONS}


def choose(method: Method, params: Params, users: HeldOut) -> tuple[str, Replay, np.ndarray]:
    """The way with the lowest mean squared error on these users, and each user's error, [T]."""

    def errors_of(replay: Replay) -> np.ndarray:
        predictions = np.asarray(replayed(replay, method, params, users.tasks))
        return errors_by_bin(predictions, users.tasks, [0])["all"]

    tried = [(errors_of(replay), name, replay) for name, replay in ways(method).items()]
    errors, name, replay = min(tried, key=lambda row: _mean(row[0]))
    return name, replay, errors


def _mean(errors: np.ndarray) -> float:
    """Infinite where a prediction is not a finite number."""
    mean = float(np.mean(errors))
    return mean if np.isfinite(mean) else float("inf")


def measure(
    name: str, method: Method, params: Params, held_out: HeldOut, wanted: tuple[Metric, ...]
) -> dict[str, np.ndarray]:
    """The errors of the best way to take ratings in: over the history of a user, or on the query of an episode.

    Raises:
      PredictionError: an error is not a finite number.
    """
    if hasattr(held_out.tasks, "query"):  # what early stopping watches
        return ratings_module.measure(name, method, params, held_out, wanted)
    errors = choose(method, params, held_out)[2]
    if not np.isfinite(errors).all():
        raise PredictionError(f"{name} predicts no number for a validation user; see its settings.")
    return {"rmse": errors}


def followed(name: str, trained: Trained, fold: Fold, starts: list[int]) -> dict[Shots, Answers]:
    """What a method predicts at every position of the test users, by the way that is best for the validation users."""
    method, params, users = trained.method, trained.params, fold.held_out("test")["all"]
    way, replay, _ = choose(method, params, fold.held_out("valid")["all"])
    predictions, real = np.asarray(replayed(replay, method, params, users.tasks)), np.asarray(users.tasks.mask) > 0
    broken = (~np.isfinite(predictions) & real).any(1)
    if broken.any():
        raise PredictionError(f"{name} predicts no number for user {users.users[np.argmax(broken)]}; see its settings.")
    task, position = np.nonzero(real)
    rows = pl.DataFrame(
        {
            "task": task.astype(np.int32),
            "user": users.users[task],
            "item": fold.tables["all"].item_ids[np.asarray(users.tasks.x.id)[task, position]],
            "target": np.asarray(users.tasks.y)[real],
            "prediction": predictions[real],
            "position": position.astype(np.int32),
        }
    )
    answers = {}
    errors = errors_by_bin(predictions, users.tasks, starts)
    for k, end in zip([*starts, "all"], [*starts[1:], None, None], strict=True):
        own = rows if k == "all" else rows.filter(pl.col("position") >= k, pl.col("position") < (end or len(real[0])))
        known = np.isfinite(errors[k])
        values = {"rmse": errors[k][known]}
        answers[k] = Answers(values, users.users[known], own.drop("position"), {"adaptation": way})
    return answers
