"""A learner or baseline on fixed tasks: predictions, one value a task and metric, means, intervals, paired tests."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.eval import metrics
from metarec_jax.ops.batching import in_batches, in_blocks
from metarec_jax.types import Array, Baseline, Episode, Learner, Params, Tasks


class PredictionError(FloatingPointError):
    """A prediction that is not a finite number; the message names the method and the task."""


class Classified(NamedTuple):
    """What a classifier did on T tasks of Q queries."""

    accuracy: np.ndarray  # [T] float32, see `metrics.accuracy`
    predicted: np.ndarray  # [T, Q] int32 the class of the highest output, of several the first
    target: np.ndarray  # [T, Q] int32


def fixed_tasks(tasks: Tasks, key: Array, number: int) -> Episode:
    """`number` tasks of a distribution, always the same for a key; [number] leading on every leaf."""
    return jax.jit(jax.vmap(tasks.sample, in_axes=(None, 0)))(tasks.data, jax.random.split(key, number))


@partial(jax.jit, static_argnums=(0, 1))
def _predict(adapt: Callable, predict: Callable, params: Params, tasks: Episode) -> Array:
    return jax.vmap(lambda task: predict(adapt(params, task.support), task.query.x))(tasks)


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
    check_finite(name, predictions, tasks, task_names)
    return predictions


def check_finite(name: str, predictions: np.ndarray, tasks: Episode, task_names: np.ndarray) -> None:
    """Raises PredictionError where one of the predictions [T, Q] is not; the arguments are those of `predict_tasks`."""
    broken = (~np.isfinite(predictions) & (np.asarray(tasks.query.mask) > 0)).any(1)
    if broken.any():
        first = int(np.argmax(broken))
        raise PredictionError(
            f"{name} predicts {predictions[first][~np.isfinite(predictions[first])][0]} for task {task_names[first]} "
            f"({int(broken.sum())} of {len(broken)} tasks); lower its learning rates or mend its fit."
        )


def raw_predictions(method: Learner | Baseline, params: Params, tasks: Episode, *, batch: int = 128) -> np.ndarray:
    """[T, Q] float32 predictions after adapting to each task's support, NaN and infinite ones included."""
    return in_blocks(partial(_predict, method.adapt, method.predict, params), tasks, batch)


def mean_squared_errors(method: Learner | Baseline, params: Params, tasks: Episode, *, batch: int = 128) -> np.ndarray:
    """[T] mean squared error of each task, NaN or infinite where predictions are: for tuning, where a bad setting
    loses instead of stopping the run."""
    return in_blocks(partial(squared_errors, method, params), tasks, batch)


def squared_errors(method: Learner | Baseline, params: Params, tasks: Episode) -> Array:
    """`mean_squared_errors` of all tasks at once, as a function that may be traced."""
    return _squared_errors(_predict(method.adapt, method.predict, params, tasks), tasks.query.y, tasks.query.mask)


# A program of its own, for that of the predictions, which takes long to compile, is needed anyway.
_squared_errors = jax.jit(jax.vmap(metrics.squared_error))


def classify(
    name: str, method: Learner | Baseline, params: Params, tasks: Tasks, keys: Array, *, batch: int = 16
) -> Classified:
    """A classifier on tasks that are drawn as they are needed.

    Args:
      name: of the method, for the error.
      method: its outputs are [N, C], the higher the likelier.
      params: what it was trained or fitted to.
      tasks: where they are from.
      keys: [T] of the tasks.
      batch: tasks worked on at a time, which bounds the memory.

    Raises:
      PredictionError: an output of a real query row is NaN.
    """
    parts = _classify(method.adapt, method.predict, tasks.sample, params, tasks.data, keys, batch=batch)
    accuracy, predicted, target, broken = map(np.asarray, parts)
    if broken.any():
        raise PredictionError(
            f"{name} predicts NaN for task {int(broken.argmax())} ({int(broken.sum())} of {len(broken)} tasks); lower "
            "its learning rates or mend its fit."
        )
    return Classified(accuracy, predicted, target)


@partial(jax.jit, static_argnums=(0, 1, 2), static_argnames="batch")
def _classify(
    adapt: Callable, predict: Callable, sample: Callable, params: Params, data: Any, keys: Array, *, batch: int
) -> tuple[Array, Array, Array, Array]:
    """The fields of `Classified`, and whether there is a NaN, [T]."""

    def one_task(key: Array) -> tuple[Array, Array, Array, Array]:
        task = sample(data, key)
        outputs, mask = predict(adapt(params, task.support), task.query.x), task.query.mask
        broken = jnp.any(jnp.isnan(outputs) & (mask > 0)[:, None])
        accuracy = metrics.accuracy(outputs, task.query.y, mask)
        return accuracy, jnp.argmax(outputs, -1).astype(jnp.int32), task.query.y, broken

    return in_batches(one_task, keys, batch)
