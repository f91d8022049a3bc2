"""Online adaptation of one task: every rating is predicted from those before it, then revealed.

Two ways to take in what was revealed: `again` adapts to all of it anew, `follow` hands each rating to the method's
`update` (Dawid 1984, "Statistical theory: the prequential approach", is the way to score either). Where `update` is
exact they predict the same, but `follow` costs one step a rating however long the history is.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.ops.batching import in_batches
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Array, Baseline, Examples, Learner, Params

Replay = Callable[[Learner | Baseline, Params, Examples], Array]


def again(method: Learner | Baseline, params: Params, history: Examples) -> Array:
    """[L] predictions of a history of L ratings, each after adapting to those before it.

    Args:
      method: anything with adapt and predict.
      params: what it was trained or fitted to.
      history: one task's ratings in their order; padding only at the end.
    """
    places = jnp.arange(len(history.mask))

    def predict_next(place: Array) -> Array:
        known = history._replace(mask=history.mask * (places < place))
        return method.predict(method.adapt(params, known), _row(history, place).x)[0]

    return jax.lax.map(predict_next, places)


def follow(method: Learner | Baseline, params: Params, history: Examples, fraction: Array | float = 1.0) -> Array:
    """[L] predictions of a history, each made before `update` takes the rating in.

    Args:
      method: with `update`, and with `forget` where fraction < 1.
      params, history: as in `again`.
      fraction: of what was learnt, kept from one rating to the next.
    """

    def step(fast, place: Array):
        row = _row(history, place)
        if method.forget is not None:  # time has passed since the last one
            fast = method.forget(fast, jnp.float32(fraction))
        return method.update(fast, row), method.predict(fast, row.x)[0]

    nothing = map_rows(lambda leaf: leaf[:0], history)
    return jax.lax.scan(step, method.adapt(params, nothing), jnp.arange(len(history.mask)))[1]


def _row(history: Examples, place: Array) -> Examples:
    return map_rows(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, place, 1), history)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="batch")
def replayed(replay: Replay, method: Learner | Baseline, params: Params, tasks: Examples, *, batch: int = 32) -> Array:
    """[T, L] predictions of many histories, `batch` of them at a time.

    Args:
      replay: `again`, or `follow`.
      method, params: as there.
      tasks: leading [T, L].
    """
    replay_task = partial(replay, method, params)
    return in_batches(replay_task, tasks, batch)


def errors_by_bin(predictions: np.ndarray, tasks: Examples, starts: list[int]) -> dict[int | str, np.ndarray]:
    """Mean squared error of every task by position, [T], NaN where a task has no rating there.

    Args:
      predictions: [T, L].
      tasks: what was predicted.
      starts: ascending positions; a bin ends where the next begins, and the last with the histories.

    Returns:
      One entry a start, and "all".
    """
    squares = np.where(np.asarray(tasks.mask) > 0, (predictions - np.asarray(tasks.y)) ** 2, np.nan)
    parts = dict(zip(starts, np.split(squares, starts[1:], axis=1), strict=True)) | {"all": squares}
    counts = {name: np.isfinite(part).sum(1) for name, part in parts.items()}
    return {
        name: np.where(counts[name] > 0, np.nansum(part, 1) / np.maximum(counts[name], 1), np.nan)
        for name, part in parts.items()
    }
