"""A learner or baseline on tasks with a whole catalogue as candidates: one value a task and metric.

Scores of all candidates exist for one chunk of users at a time: metrics are taken inside the same compiled program.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import metrics
from metarec_jax.batching import in_batches
from metarec_jax.evaluation import PredictionError
from metarec_jax.tasks.catalogue import Liker, catalogue_episode
from metarec_jax.types import Array, Baseline, Learner, Params

Values = dict[str, np.ndarray]  # metric -> [T], see `metrics.catalogue`


@partial(jax.jit, static_argnums=(0, 1), static_argnames="batch")
def _rank(
    adapt: Callable, predict: Callable, params: Params, content: Array, users: Liker, *, batch: int
) -> tuple[dict[str, Array], Array]:
    def one_user(user: Liker) -> tuple[dict[str, Array], Array]:
        task = catalogue_episode(content, user)
        scores = predict(adapt(params, task.support), task.query.x)
        finite = jnp.all(jnp.isfinite(scores) | (task.query.mask == 0))
        return metrics.catalogue(scores, task.query.y, task.query.mask), finite

    return in_batches(one_user, users, batch)


def rank_catalogue(
    name: str,
    method: Learner | Baseline,
    params: Params,
    content: Array,
    users: Liker,
    user_names: np.ndarray,
    *,
    batch: int = 64,
) -> Values:
    """Adapt to each user's support, score the whole catalogue, and take the metrics.

    Args:
      name: of the method, for the error.
      method: anything with adapt and predict.
      params: what it was trained or fitted to.
      content: [I, F] of all items.
      users: leading [T] on every leaf.
      user_names: [T] for the error.
      batch: users worked on at a time: the memory is O(batch * I).

    Raises:
      PredictionError: a score of a candidate is NaN or infinite.
    """
    values, finite = _rank(method.adapt, method.predict, params, content, users, batch=batch)
    if not finite.all():
        raise PredictionError(
            f"{name} gives scores that are not finite to user {user_names[int(np.argmin(finite))]} "
            f"({int((~finite).sum())} of {len(finite)} tasks); lower its learning rates or mend its fit."
        )
    return {metric: np.asarray(value) for metric, value in values.items()}
