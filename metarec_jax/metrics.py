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


def _tie_groups(prediction: Array, mask: Array) -> tuple[Array, Array]:
    """For each of [Q] rows: the real rows strictly ahead of it, and those tied with it (at least itself).

    By sorting, O(Q log Q): a row may be a candidate out of a whole catalogue. What padding gets means nothing.
    """
    ordered = jnp.sort(jnp.where(mask > 0, prediction, -jnp.inf))
    behind, not_ahead = (jnp.searchsorted(ordered, prediction, side=side) for side in ("left", "right"))
    return len(ordered) - not_ahead, jnp.maximum(not_ahead - behind, 1)


def _expected_dcg(prediction: Array, gain: Array, mask: Array, k: int) -> Array:
    """Expected DCG@k: a tie group on ranks a+1..a+m gives each member the mean discount of these ranks."""
    ahead, tied = _tie_groups(prediction, mask)
    k = min(k, prediction.shape[0])
    discount = 1.0 / jnp.log2(jnp.arange(k) + 2.0)  # rank 1 has discount 1/log2(2) = 1; ranks past k have 0
    total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(discount)])  # total[n] = the sum over ranks 1..n
    mean_discount = (total[jnp.minimum(ahead + tied, k)] - total[jnp.minimum(ahead, k)]) / tied
    return jnp.sum(jnp.where(mask > 0, gain * mean_discount, 0.0))


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
    ahead, tied = _tie_groups(prediction, mask)
    hit = (rating >= relevant) & (mask > 0)
    k_real = jnp.minimum(k, jnp.sum(mask > 0))
    chance = jnp.clip(k_real - ahead, 0, tied) / tied  # that a member of the tie group is among the first k
    expected_hits = jnp.sum(jnp.where(hit, chance, 0.0))
    return jnp.where(jnp.any(hit), expected_hits / k_real, jnp.nan)


def recall(prediction: Array, relevant: Array, mask: Array, k: int) -> Array:
    """Expected share of the relevant rows ([Q], 1 or 0) that are among the k of [Q] predicted highest.

    Undefined when no row is relevant.
    """
    ahead, tied = _tie_groups(prediction, mask)
    return _masked_mean(jnp.clip(k - ahead, 0, tied) / tied, relevant * mask)


def _first_hit(prediction: Array, relevant: Array, mask: Array) -> tuple[Array, Array]:
    """Rows ahead of the first tie group with a relevant row, and [Q] the chance that the first relevant row of this
    group is its p-th, p = 1..Q.

    With r of the m rows of a group relevant, the first p are all irrelevant with a chance of the product over j < p of
    (m - r - j) / (m - j).
    """
    ahead, tied = _tie_groups(prediction, mask)
    hit = relevant * mask > 0
    first = jnp.argmin(jnp.where(hit, ahead, len(ahead)))
    size, hits = tied[first], jnp.sum(hit & (ahead == ahead[first]))
    place = jnp.arange(len(ahead))
    missed = jnp.cumprod(jnp.maximum(size - hits - place, 0) / jnp.maximum(size - place, 1))
    return ahead[first], jnp.concatenate([jnp.ones(1), missed[:-1]]) - missed


def hit_rate(prediction: Array, relevant: Array, mask: Array, k: int) -> Array:
    """Chance that a relevant row ([Q], 1 or 0) is among the k of [Q] predicted highest. Undefined when none is."""
    ahead, chance = _first_hit(prediction, relevant, mask)
    within = ahead + 1 + jnp.arange(len(chance)) <= k
    return jnp.where(jnp.any(relevant * mask > 0), jnp.sum(jnp.where(within, chance, 0.0)), jnp.nan)


def reciprocal_rank(prediction: Array, relevant: Array, mask: Array) -> Array:
    """Expected 1 / rank of the relevant row ([Q], 1 or 0) that [Q] predictions rank highest. Undefined when none is."""
    ahead, chance = _first_hit(prediction, relevant, mask)
    return jnp.where(jnp.any(relevant * mask > 0), jnp.sum(chance / (ahead + 1 + jnp.arange(len(chance)))), jnp.nan)


def catalogue(prediction: Array, relevant: Array, mask: Array) -> dict[str, Array]:
    """The metrics of one task with a whole catalogue as candidates, each [] and undefined when no row is relevant.

    Args:
      prediction: [I] finite scores, of which only the order counts.
      relevant: [I] 1 relevant, 0 not: the gain in "ndcg@10".
      mask: [I] 1 candidate, 0 not, for example because it is in the support.
    """
    return {
        "ndcg@10": ndcg(prediction, relevant, mask, 10),
        "recall@20": recall(prediction, relevant, mask, 20),
        "hit@10": hit_rate(prediction, relevant, mask, 10),
        "mrr": reciprocal_rank(prediction, relevant, mask),
    }


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
