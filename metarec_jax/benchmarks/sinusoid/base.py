"""Sinusoid regression: waves seen at K points, in training and in tests, and the error after some gradient steps.

Finn, Abbeel and Levine 2017, arXiv:1703.03400, section 5.1. A seed has a fold for every K; on the test tasks a learner
takes other numbers of steps than in training too.
"""

import functools
from collections.abc import Callable, Sequence
from typing import cast

import jax
import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Method, Trained
from metarec_jax.benchmarks.sinusoid.recipes import RECIPES
from metarec_jax.benchmarks.sinusoid.result import QUERY, TEST_STEPS, TRAINING_QUERY, VALIDATION_TASKS, compose, name_of
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.metrics import MSE, Metric, by_name
from metarec_jax.eval.predict import fixed_tasks, mean_squared_errors, raw_predictions
from metarec_jax.recipes.base import Built
from metarec_jax.tasks.sinusoid import sinusoids
from metarec_jax.train.store import Store
from metarec_jax.types import Episode, Params

RUN_AWAY = 1e4  # a mean squared error above it is divergence: y is within -5..5
TEST_STREAM, VALIDATION_STREAM = 1, 2  # of keys


def sinusoid(shots: Sequence[int] = (5, 10), tasks: int = 600) -> Benchmark:
    """The mean squared error on waves of which K points are known; there is no data set.

    Args:
      shots: numbers K of known points; each has a training of its own.
      tasks: test tasks.
    """

    def folds(data: None, seed: int, store: Store) -> list[Fold]:
        del data, store
        return [make_fold(k, seed, tasks) for k in shots]

    # The root of the mean error of the validation tasks chooses parameters; results are of the error itself.
    metrics = (by_name("rmse"), MSE)
    return Benchmark("sinusoid", folds, measure, answer, metrics, RECIPES, tuple(RECIPES), result=compose)


def make_fold(shots: int, seed: int, number: int) -> Fold:
    """Validation tasks and a number of test tasks; the waves are the same at every K."""
    distribution = sinusoids(support=shots, query=QUERY, even_query=True)

    @functools.cache
    def held_out(part: str) -> dict[Shots, HeldOut]:
        stream, tasks = (VALIDATION_STREAM, VALIDATION_TASKS) if part == "valid" else (TEST_STREAM, number)
        key = jax.random.fold_in(jax.random.key(seed), stream)
        return {shots: HeldOut(fixed_tasks(distribution, key, tasks), seed * tasks + np.arange(tasks))}

    training = sinusoids(support=shots, query=TRAINING_QUERY)
    suffix = f"_{shots}_shots"
    return Fold(seed, {"train": None}, lambda table: training, held_out, f"seed_{seed}", suffix=suffix)


def measure(
    name: str, method: Method, params: Params, held_out: HeldOut, wanted: tuple[Metric, ...]
) -> dict[str, np.ndarray]:
    """Metric -> [T] mean squared errors, infinite where a prediction is not a finite number."""
    del name
    errors = mean_squared_errors(method, params, held_out.tasks)
    return {metric.name: np.where(np.isnan(errors), np.float32(np.inf), errors) for metric in wanted}


def answer(name: str, trained: Trained, fold: Fold, shots: list[Shots]) -> dict[Shots, Answers]:
    """What a learner predicts after every number of gradient steps."""
    del name
    answers = {}
    for k in shots:
        held_out = fold.held_out("test")[k]
        for steps in TEST_STEPS:
            learner = cast(Callable[..., Built], trained.rebuild)(inner_steps=steps).method
            answers[name_of(int(k), steps)] = _answers(
                raw_predictions(learner, trained.params, held_out.tasks), held_out
            )
    return answers


def _answers(predictions: np.ndarray, held_out: HeldOut) -> Answers:
    """Predictions [T, Q], finite or not, beside the waves."""
    waves: Episode = held_out.tasks
    y = np.asarray(waves.query.y)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.square(predictions.astype(np.float64) - y).mean(1)
    tasks, points = y.shape
    rows = pl.DataFrame(
        {
            "task": np.repeat(np.arange(tasks, dtype=np.int32), points),
            "user": np.repeat(held_out.users, points),
            "item": np.tile(np.arange(points), tasks),  # place among the points
            "target": y.ravel(),
            "prediction": predictions.ravel(),
        }
    )
    return Answers({"mse": np.where(errors < RUN_AWAY, errors, np.inf)}, held_out.users, rows)
