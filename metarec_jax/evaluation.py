"""A learner or baseline on fixed tasks: predictions, one value a task and metric, means, intervals, paired tests."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import intervals, metrics
from metarec_jax.batching import in_batches
from metarec_jax.types import Array, Baseline, Episode, Learner, Params, Tasks

ROOTED = ("rmse",)  # metrics kept as a task's mean square; the root is taken of the mean over tasks
SCORE_FREE = ("rmse", "mae")  # metrics that a mere score, whose units mean nothing, does not have


class PredictionError(FloatingPointError):
    """A prediction that is not a finite number; the message names the method and the task."""


def fixed_tasks(tasks: Tasks, key: Array, number: int) -> Episode:
    """`number` tasks of a distribution, always the same for a key; [number] leading on every leaf."""
    return jax.jit(jax.vmap(tasks.sample, in_axes=(None, 0)))(tasks.data, jax.random.split(key, number))


@partial(jax.jit, static_argnums=(0, 1), static_argnames="batch")
def _predict(adapt: Callable, predict: Callable, params: Params, tasks: Episode, *, batch: int) -> Array:
    def one_task(task: Episode) -> Array:
        return predict(adapt(params, task.support), task.query.x)

    return in_batches(one_task, tasks, batch)


def predict_tasks(
    name: str, method: Learner | Baseline, params: Params, tasks: Episode, task_names: np.ndarray, *, batch: int = 128
) -> np.ndarray:
    """Adapt to each task's support and predict its query.

    Args:
      name: of the method, for the error.
      method: anything with adapt and predict.
      params: what it was trained or fitted to.
      tasks: leading [T] on every leaf.
      task_names: [T] for the error, for example user ids.
      batch: tasks worked on at a time, which bounds the memory.

    Returns:
      [T, Q] float32.

    Raises:
      PredictionError: a prediction of a real query row is NaN or infinite.
    """
    predictions = raw_predictions(method, params, tasks, batch=batch)
    broken = (~np.isfinite(predictions) & (np.asarray(tasks.query.mask) > 0)).any(1)
    if broken.any():
        first = int(np.argmax(broken))
        raise PredictionError(
            f"{name} predicts {predictions[first][~np.isfinite(predictions[first])][0]} for task {task_names[first]} "
            f"({int(broken.sum())} of {len(broken)} tasks); lower its learning rates or mend its fit."
        )
    return predictions


def raw_predictions(method: Learner | Baseline, params: Params, tasks: Episode, *, batch: int = 128) -> np.ndarray:
    """[T, Q] float32 predictions after adapting to each task's support, NaN and infinite ones included."""
    return np.asarray(_predict(method.adapt, method.predict, params, tasks, batch=batch))


def mean_squared_errors(method: Learner | Baseline, params: Params, tasks: Episode, *, batch: int = 128) -> np.ndarray:
    """[T] mean squared error of each task, NaN or infinite where predictions are: for tuning, where a bad setting
    loses instead of stopping the run."""
    return np.asarray(squared_errors(method, params, tasks, batch=batch))


def squared_errors(method: Learner | Baseline, params: Params, tasks: Episode, *, batch: int = 128) -> Array:
    """`mean_squared_errors` as a function that may be traced."""
    return _squared_errors(method.adapt, method.predict, params, tasks, batch=batch)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="batch")
def _squared_errors(adapt: Callable, predict: Callable, params: Params, tasks: Episode, *, batch: int) -> Array:
    predictions = _predict(adapt, predict, params, tasks, batch=batch)
    return jax.vmap(metrics.squared_error)(predictions, jnp.asarray(tasks.query.y), jnp.asarray(tasks.query.mask))


def accuracies(
    name: str, method: Learner | Baseline, params: Params, tasks: Tasks, key: Array, number: int, *, batch: int = 16
) -> np.ndarray:
    """Accuracy of a classifier on the `fixed_tasks` of a key, which are drawn as they are needed: [number] float32.

    Args:
      name: of the method, for the error.
      method: its outputs are [N, C], the higher the likelier.
      params: what it was trained or fitted to.
      tasks, key, number: as of `fixed_tasks`.
      batch: tasks worked on at a time, which bounds the memory.

    Raises:
      PredictionError: an output of a real query row is NaN.
    """
    keys = jax.random.split(key, number)
    found = _accuracies(method.adapt, method.predict, tasks.sample, params, tasks.data, keys, batch=batch)
    values, broken = map(np.asarray, found)
    if broken.any():
        raise PredictionError(
            f"{name} predicts NaN for task {int(broken.argmax())} ({int(broken.sum())} of {number} tasks); lower its "
            "learning rates or mend its fit."
        )
    return values


@partial(jax.jit, static_argnums=(0, 1, 2), static_argnames="batch")
def _accuracies(
    adapt: Callable, predict: Callable, sample: Callable, params: Params, data: Any, keys: Array, *, batch: int
) -> tuple[Array, Array]:
    """Accuracy and whether there is a NaN, [T] each."""

    def one_task(key: Array) -> tuple[Array, Array]:
        task = sample(data, key)
        outputs, mask = predict(adapt(params, task.support), task.query.x), task.query.mask
        broken = jnp.any(jnp.isnan(outputs) & (mask > 0)[:, None])
        return metrics.accuracy(outputs, task.query.y, mask), broken

    return in_batches(one_task, keys, batch)


class Scores(NamedTuple):
    """One method at one K, all seeds together, one entry a task."""

    name: str
    kind: str  # "learner" or "baseline"
    shots: int | str  # K, or "all"
    users: np.ndarray  # [T] raw id of the task's user: what the bootstrap resamples
    seeds: np.ndarray  # [T]
    values: dict[str, np.ndarray]  # metric -> [T], NaN where undefined


def result_rows(scores: list[Scores], same_query: bool = True) -> list[dict]:
    """The rows of `results.json`: estimates, the best baseline's paired comparison, and what adaptation adds.

    The best baseline at a K and metric is chosen on these very tasks, in the baselines' favour. For RMSE and MAE less
    is better, for all other metrics more. "versus" names the best by the first metric of `values`. What adaptation adds
    can be told only where a task is asked the `same_query` at every K.
    """
    return [_row(score, scores, same_query) for score in scores]


def _row(score: Scores, scores: list[Scores], same_query: bool) -> dict:
    row = {"name": score.name, "kind": score.kind, "shots": score.shots}
    row["metrics"] = {metric: _estimate(score, metric) for metric in score.values}
    if score.kind != "learner":
        return row
    rivals = [other for other in scores if other.kind == "baseline" and other.shots == score.shots]
    if rivals:
        best = {metric: _best(rivals, metric) for metric in score.values}
        row["versus"] = {"baseline": best[next(iter(best))].name} | {
            metric: {"baseline": rival.name} | _difference(score, rival, metric) for metric, rival in best.items()
        }
    before = [other for other in scores if other.name == score.name and other.shots == 0]
    if before and score.shots != 0 and same_query:
        row["adaptation"] = {metric: _difference(score, before[0], metric) for metric in score.values}
    return row


def _best(rivals: list[Scores], metric: str) -> Scores:
    sign = 1 if metric in SCORE_FREE else -1
    return min(rivals, key=lambda rival: _finite(sign * _mean(rival.values[metric])))


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _finite(value: float) -> float:
    return value if np.isfinite(value) else float("inf")


def _estimate(score: Scores, metric: str) -> dict:
    values, root = score.values[metric], metric in ROOTED
    estimate = intervals.estimate(values, score.users, root)._asdict()
    seeds = [_mean(values[score.seeds == seed]) for seed in np.unique(score.seeds)]
    return estimate | {"per_seed": [float(np.sqrt(mean)) if root else mean for mean in seeds]}


def _difference(score: Scores, other: Scores, metric: str) -> dict:
    """Score minus other on the tasks that both have."""
    keys = [list(zip(one.seeds.tolist(), one.users.tolist(), strict=True)) for one in (score, other)]
    place = {key: index for index, key in enumerate(keys[1])}
    common = [(index, place[key]) for index, key in enumerate(keys[0]) if key in place]
    mine, others = np.array(common).T
    return intervals.compare(
        score.values[metric][mine], other.values[metric][others], score.users[mine], metric in ROOTED
    )._asdict()
