"""Metrics of one task: pure, masked, tie-aware functions; callers vmap them over tasks.

Ties in the predictions are never broken by position. Every ranking metric is the EXPECTED value over all
orders of the tied rows, in closed form (McSherry and Najork, "Computing information retrieval performance
measures efficiently in the presence of tied scores", ECIR 2008), so a constant predictor gets AUC 0.5 and a
precision equal to the base rate, whatever the order of the rows.

NaN means one thing here: the metric is undefined on this task. That predictions are finite is checked by the
caller (`evaluation.py` raises); rows with mask 0 may hold anything.
"""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.eval.ties import mean_discount, tie_groups
from metarec_jax.types import Array


def _masked_mean(values: Array, mask: Array) -> Array:
    """Mean of `values` [Q] over the real rows, NaN (0/0) without one; `where`, for padding may hold NaN."""
    real = mask > 0
    return jnp.sum(jnp.where(real, values, 0.0)) / jnp.sum(real)


def squared_error(prediction: Array, rating: Array, mask: Array) -> Array:
    """Mean squared error of [Q] predictions, in squared rating units. Undefined without a real row."""
    return _masked_mean(jnp.square(prediction - rating), mask)


def absolute_error(prediction: Array, rating: Array, mask: Array) -> Array:
    """Mean absolute error of [Q] predictions, in rating units. Undefined without a real row."""
    return _masked_mean(jnp.abs(prediction - rating), mask)


def auc(prediction: Array, rating: Array, mask: Array) -> Array:
    """Share of the pairs of unequal rating that the [Q] predictions put in order, a tie counting one half.

    Undefined when all ratings are equal. Counts are integers, so that 0, 1/2 and 1 are exact.
    """
    real = mask > 0
    pair = (rating[:, None] > rating[None, :]) & real[:, None] & real[None, :]
    above = prediction[:, None] > prediction[None, :]
    tied = prediction[:, None] == prediction[None, :]
    halves = jnp.sum(jnp.where(pair, 2 * above + tied, 0))
    return halves / (2 * jnp.sum(pair))


def accuracy(outputs: Array, classes: Array, mask: Array) -> Array:
    """Share of [Q] rows whose class has the highest of outputs [Q, C]; of m classes tied there, each counts 1 / m.

    Undefined without a real row.
    """
    highest = outputs == jnp.max(outputs, -1, keepdims=True)
    right = jnp.take_along_axis(highest, classes[:, None], 1)[:, 0]
    return _masked_mean(right / jnp.maximum(jnp.sum(highest, -1), 1), mask)


def _expected_dcg(prediction: Array, gain: Array, mask: Array, k: int) -> Array:
    """Expected DCG@k."""
    discount = mean_discount(*tie_groups(prediction, mask), min(k, prediction.shape[0]))
    return jnp.sum(jnp.where(mask > 0, gain * discount, 0.0))


def ndcg(prediction: Array, rating: Array, mask: Array, k: int) -> Array:
    """Expected nDCG@k of [Q] predictions with gain 2^rating - 1 and discount 1/log2(rank + 1).

    Undefined when the ideal DCG is 0 (no row, or only ratings of 0). `k` is static. The normaliser is the DCG
    of the ratings themselves, so an oracle gets exactly 1.
    """
    gain = jnp.exp2(rating) - 1.0
    ideal = _expected_dcg(rating, gain, mask, k)
    return jnp.where(ideal > 0, _expected_dcg(prediction, gain, mask, k) / ideal, jnp.nan)


def precision(prediction: Array, rating: Array, mask: Array, k: int, relevant: float | Array) -> Array:
    """Expected share of relevant rows (rating >= `relevant`) among the k that are predicted highest.

    With fewer than k real rows, k is their number. Undefined when no row is relevant.
    """
    ahead, tied = tie_groups(prediction, mask)
    hit = (rating >= relevant) & (mask > 0)
    k_real = jnp.minimum(k, jnp.sum(mask > 0))
    chance = jnp.clip(k_real - ahead, 0, tied) / tied  # that a member of the tie group is among the first k
    expected_hits = jnp.sum(jnp.where(hit, chance, 0.0))
    return jnp.where(jnp.any(hit), expected_hits / k_real, jnp.nan)


@jax.jit
@jax.vmap
def _all_metrics(prediction: Array, rating: Array, mask: Array, relevant: Array) -> dict[str, Array]:
    return {
        "rmse": squared_error(prediction, rating, mask),
        "mae": absolute_error(prediction, rating, mask),
        "auc": auc(prediction, rating, mask),
        "ndcg@5": ndcg(prediction, rating, mask, 5),
        "precision@5": precision(prediction, rating, mask, 5, relevant),
        "ndcg@10": ndcg(prediction, rating, mask, 10),
    }


def per_task(predictions: Array, ratings: Array, mask: Array, relevant: float) -> dict[str, np.ndarray]:
    """All metrics of T tasks.

    Args:
      predictions: [T, Q] finite predictions, in rating units (for "rmse" and "mae" to mean anything).
      ratings: [T, Q] true ratings, at least 0.
      mask: [T, Q] 1 real, 0 padding.
      relevant: the rating from which a row counts as relevant in "precision@5".

    Returns:
      Metric name -> [T] float32 on the host, NaN where the metric is undefined. "rmse" holds the MSE of each
      task: the root is taken of the mean over tasks, never of one task.
    """
    threshold = jnp.full(len(predictions), relevant, jnp.float32)
    values = _all_metrics(jnp.asarray(predictions), jnp.asarray(ratings), jnp.asarray(mask), threshold)
    return {name: np.asarray(value) for name, value in values.items()}
