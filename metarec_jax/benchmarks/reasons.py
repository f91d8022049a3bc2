"""The benchmark of reasons: what each known rating of a new user does to a prediction, predicted and put to the test.

The influence by weight (`serve/explain.py`) predicts, to first order, what leaving a rating out does; then it is left
out. All influences are kept beside the predictions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Trained
from metarec_jax.benchmarks.ratings import METRICS, ratings_benchmark, scored
from metarec_jax.benchmarks.result import Measured, PageResult, compose
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.predict import check_finite
from metarec_jax.recipes import RECIPES
from metarec_jax.report import reasons as report
from metarec_jax.serve.explain import Explained, explain_tasks, reason
from metarec_jax.tasks.splits import Split, split_users
from metarec_jax.tasks.user_episodes import Order

POINTS = 400  # of predicted and actual effects in the picture of a method
METHODS = {name: recipe for name, recipe in RECIPES.items() if recipe.kind == "learner" or name == "gp"}


class ReasonsResult(PageResult):
    """The results of reasons put to the test."""

    page = report


def reasons(
    shots: Sequence[int] = (10,),
    query: int = 10,
    order: Order = "random",
    examples: int = 12,
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """User cold start, where every prediction is explained by the ratings that are known.

    Args:
      shots: numbers K of known ratings, 1 or more.
      query, order, split, **bounds: as of `ratings.user_cold_start`.
      examples: test users whose reasons are put into words.

    Raises:
      ValueError: a K that is 0 or "all".
    """
    if not set(shots).isdisjoint({0, "all"}):
        raise ValueError("shots: reasons are ratings that are known, the same number for everybody: 1 or more.")

    def answer(name: str, trained: Trained, fold: Fold, asked: list[Shots]) -> dict[Shots, Answers]:
        tasks = fold.held_out("test")
        return {k: explained(name, trained, fold.tables["all"], tasks[k], int(k)) for k in asked}

    def result(measured: Measured) -> ReasonsResult:
        content, influences = compose(measured).content, measured.frames()["influences"]
        return ReasonsResult(
            content | summary(content["rows"], measured.data, influences, min(measured.folds), examples)
        )

    own = split or (lambda ratings, seed: split_users(ratings, seed=seed, query=query, order=order, **bounds))
    protocol = {"split": own, "shots": shots, "query": query, "order": order}
    default = ("protonet", "maml", "ridge")
    benchmark = ratings_benchmark("reasons", recipes=METHODS, default=default, **protocol)
    return benchmark._replace(answer=answer, metrics=METRICS[:1], result=result)


def explained(name: str, trained: Trained, ratings: Ratings, held_out: HeldOut, k: int) -> Answers:
    """Predictions from K known ratings, their error, and what each of the ratings does to them."""
    explanation = jax.tree.map(np.asarray, explain_tasks(trained.method, trained.params, held_out.tasks))
    check_finite(name, explanation.prediction, held_out.tasks, held_out.users)
    answers = scored(explanation.prediction, trained.method.output, ratings, held_out, METRICS[:1])
    return answers._replace(more={"influences": influences(ratings, held_out, explanation, k)})


def influences(ratings: Ratings, held_out: HeldOut, explanation: Explained, k: int) -> pl.DataFrame:
    """One row a test task, predicted item and known rating: by how much the prediction moves with the rating and with
    its weight, and the actual effect of leaving it out."""
    tasks = held_out.tasks
    task, query, known = np.nonzero(np.repeat(np.asarray(tasks.query.mask)[..., None], k, -1))
    return pl.DataFrame(
        {
            "user": held_out.users[task],
            "item": ratings.item_ids[tasks.query.x.id[task, query]],
            "target": tasks.query.y[task, query],
            "prediction": explanation.prediction[task, query],
            "known_item": ratings.item_ids[tasks.support.x.id[task, known]],
            "known_rating": tasks.support.y[task, known],
            "by_rating": explanation.by_rating[task, query, known],
            "by_weight": explanation.by_weight[task, query, known],
            "effect": explanation.effect[task, query, known],
        }
    )


def summary(
    rows: list[dict[str, Any]], ratings: Ratings, frame: pl.DataFrame, seed: int, number: int
) -> dict[str, Any]:
    """What results.json says of the influences: figures in the rows; examples and points of one seed, at the largest K.

    Args:
      rows: of a method and K each.
      ratings: the table, for titles.
      frame: all `influences`.
      seed: of the examples and points.
      number: of examples.
    """

    def own(name: str, k: int) -> pl.DataFrame:
        return frame.filter(pl.col("name") == name, pl.col("shots") == str(k))

    rows = [row | figures(row, own(row["name"], row["shots"])) for row in rows]
    last = max(row["shots"] for row in rows)
    shown = {row["name"]: own(row["name"], last).filter(pl.col("seed") == seed) for row in rows}
    return {
        "rows": rows,
        "examples": {name: examples_of(ratings, part, number) for name, part in shown.items()},
        "points": {name: points(part) for name, part in shown.items()},
    }


def figures(row: dict[str, Any], frame: pl.DataFrame) -> dict[str, Any]:
    """How well the influences of a method at one K predict effects, and what the most influential ratings do."""
    k = row["shots"]
    by_weight, effect = (frame[column].to_numpy().reshape(-1, k) for column in ("by_weight", "effect"))
    predicted, users = -by_weight, frame["user"].to_numpy().reshape(-1, k)
    every = np.arange(len(effect))
    most, other = np.abs(predicted).argmax(1), np.random.default_rng(0).integers(k, size=len(effect))
    moved, sign = effect[every, most], np.sign(predicted[every, most])
    of_any = np.abs(effect[every, other])
    estimates = {
        "correlation": intervals.correlation(predicted.ravel(), effect.ravel(), users.ravel()),
        "predicted": intervals.estimate(np.abs(predicted[every, most]), users[:, 0], False),
        "actual": intervals.estimate(moved * sign, users[:, 0], False),
        "same sign": intervals.estimate((moved * sign > 0).astype(float), users[:, 0], False),
        "random": intervals.estimate(of_any, users[:, 0], False),
    }
    beyond = intervals.compare(np.abs(moved), of_any, users[:, 0], False)
    metrics = row["metrics"] | {metric: figure._asdict() for metric, figure in estimates.items()}
    return {"metrics": metrics, "beyond_random": beyond._asdict()}


def examples_of(ratings: Ratings, frame: pl.DataFrame, number: int) -> list[dict[str, Any]]:
    """For each of the first users the item that is predicted highest, and why."""
    titles = dict(zip(ratings.item_ids.tolist(), ratings.item_titles.tolist(), strict=True))
    sentences = []
    for user in frame["user"].unique(maintain_order=True)[:number]:
        own = frame.filter(pl.col("user") == user)
        best = own.filter(pl.col("item") == own["item"][own["prediction"].arg_max()])
        known = [titles[item] for item in best["known_item"]]
        given, influence = best["known_rating"].to_list(), best["by_weight"].to_list()
        of_item = {"user": user, "title": titles[best["item"][0]]}
        of_item |= {"prediction": best["prediction"][0], "rating": best["target"][0]}
        sentences.append(of_item | {"reason": reason(known, given, influence)})
    return sentences


def points(frame: pl.DataFrame) -> list[list[float]]:
    """Some [predicted, actual effect] of the frame, at random."""
    some = frame.sample(min(POINTS, len(frame)), seed=0)
    return [[-by_weight, effect] for by_weight, effect in some.select("by_weight", "effect").iter_rows()]
