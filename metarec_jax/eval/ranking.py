"""A learner or baseline on tasks with a whole catalogue as candidates: one value a task and metric.

Scores of all candidates exist for one batch of users at a time, and of a large catalogue for one block of items:
metrics are taken inside the same compiled program.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.eval import ranking_metrics
from metarec_jax.eval.metrics import RANKING
from metarec_jax.eval.predict import PredictionError
from metarec_jax.eval.ranking_metrics import Ranks
from metarec_jax.ops.batching import in_batches
from metarec_jax.tasks.catalogue import ImplicitUser, liked_support
from metarec_jax.types import Array, Baseline, Fast, Inputs, Learner, Params


class Ranked(NamedTuple):
    """What a method made of the catalogue for T users."""

    values: dict[str, np.ndarray]  # metric -> [T], see `metrics.RANKING`
    rank: np.ndarray  # [T, R] expected rank of each relevant item, 1 the best; means nothing for padding


def ranks_of(
    predict: Callable,
    fast: Fast,
    content: Array,
    context: Array,
    relevant: Array,
    known: Array,
    *,
    items: int | None = None,
) -> tuple[Ranks, Array]:
    """Where a task's relevant items stand among all that are not known, and whether all scores are finite.

    Args:
      predict: of a learner or baseline, to be called on every block of items.
      fast: what it has learnt of the task.
      content: [I, F] of all items.
      context: [G] of the task's owner.
      relevant: [R] items, -1 padding.
      known: [S] items that are no candidates, -1 padding.
      items: at a time; None: all of them. With fewer than all, every score is made twice.
    """
    number = len(content)
    size = min(items or number, number)

    def score(first: Array) -> Array:
        ids = jnp.minimum(first + jnp.arange(size), number - 1)
        return predict(fast, Inputs(ids, content if size == number else content[ids], context))

    return ranking_metrics.find_ranks(score, relevant, known, number=number, size=size)


@partial(jax.jit, static_argnums=(0, 1), static_argnames=("batch", "items"))
def _rank(
    adapt: Callable,
    predict: Callable,
    params: Params,
    content: Array,
    users: ImplicitUser,
    *,
    batch: int,
    items: int | None,
) -> tuple[dict[str, Array], Array, Array]:
    def one_user(user: ImplicitUser) -> tuple[dict[str, Array], Array, Array]:
        fast = adapt(params, liked_support(content, user))
        ranks, finite = ranks_of(predict, fast, content, user.context, user.relevant, user.support, items=items)
        values = {metric.name: metric.function(ranks) for metric in RANKING}
        return values, 1.0 + ranks.ahead + (ranks.tied - 1) / 2.0, finite

    return in_batches(one_user, users, batch)


def rank_catalogue(
    name: str,
    method: Learner | Baseline,
    params: Params,
    content: Array,
    users: ImplicitUser,
    user_names: np.ndarray,
    *,
    batch: int = 64,
    items: int | None = None,
) -> Ranked:
    """Adapt to each user's support, score the whole catalogue, and take the metrics.

    Args:
      name: of the method, for the error.
      method: anything with adapt and predict.
      params: what it was trained or fitted to.
      content: [I, F] of all items.
      users: leading [T] on every leaf.
      user_names: [T] for the error.
      batch: users worked on at a time: the memory is O(batch * items).
      items: scored at a time, see `places`.

    Raises:
      PredictionError: a score of a candidate is NaN or infinite.
    """
    values, rank, finite = _rank(method.adapt, method.predict, params, content, users, batch=batch, items=items)
    if not finite.all():
        raise PredictionError(
            f"{name} gives scores that are not finite to user {user_names[int(np.argmin(finite))]} "
            f"({int((~finite).sum())} of {len(finite)} tasks); lower its learning rates or mend its fit."
        )
    return Ranked({metric: np.asarray(value) for metric, value in values.items()}, np.asarray(rank))
