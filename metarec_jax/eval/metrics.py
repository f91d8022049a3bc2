"""Metrics of one task: pure, masked, tie-aware functions; callers vmap them over tasks.

Ties in the predictions are never broken by position. Every ranking metric is the EXPECTED value over all
orders of the tied rows, in closed form (McSherry and Najork, "Computing information retrieval performance
measures efficiently in the presence of tied scores", ECIR 2008), so a constant predictor gets AUC 0.5 and a
precision equal to the base rate, whatever the order of the rows.

NaN means one thing here: the metric is undefined on this task. A real row whose prediction or rating is NaN is
refused: a ValueError, or inside a compiled program, where nothing can be raised, a value of NaN. `predict.py` has
looked before and names the method. Rows with mask 0 may hold anything.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.eval import ranking_metrics
from metarec_jax.eval.no_numbers import broken_rows, refuse_nan
from metarec_jax.eval.ties import mean_discount, tie_groups
from metarec_jax.ops.batching import in_blocks
from metarec_jax.types import Array, Scale


def _masked_mean(values: Array, mask: Array) -> Array:
    """Mean of `values` [Q] over the real rows, NaN (0/0) without one; `where`, for padding may hold NaN."""
    real = mask > 0
    return jnp.sum(jnp.where(real, values, 0.0)) / jnp.sum(real)


@refuse_nan
def squared_error(prediction: Array, rating: Array, mask: Array) -> Array:
    """Mean squared error of [Q] predictions, in squared rating units. Undefined without a real row."""
    return _masked_mean(jnp.square(prediction - rating), mask)


@refuse_nan
def absolute_error(prediction: Array, rating: Array, mask: Array) -> Array:
    """Mean absolute error of [Q] predictions, in rating units. Undefined without a real row."""
    return _masked_mean(jnp.abs(prediction - rating), mask)


@refuse_nan
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


@refuse_nan
def accuracy(outputs: Array, classes: Array, mask: Array) -> Array:
    """Share of [Q] rows whose class has the highest of outputs [Q, C]; of m classes tied there, each counts 1 / m.

    Undefined without a real row.
    """
    highest = outputs == jnp.max(outputs, -1, keepdims=True)
    right = jnp.take_along_axis(highest, classes[:, None], 1)[:, 0]
    return _masked_mean(right / jnp.maximum(jnp.sum(highest, -1), 1), mask)


def normalised_dcg(prediction: Array, gain: Array, mask: Array, k: int) -> Array:
    """Expected DCG@k of [Q] predictions with discount 1/log2(rank + 1), over that of the best order: from 0 to 1.

    Undefined when all gains are equal, for then no order is better than another. `gain` [Q] is 0 or above, `k` static.
    """
    real = mask > 0

    def discount(ahead: Array, tied: Array) -> Array:  # of each row, from which [Q, Q] others are ahead of it or tied
        ahead, tied = (jnp.sum(pairs & real, 1) for pairs in (ahead, tied))
        return mean_discount(ahead, jnp.maximum(tied, 1), min(k, len(real)))

    above, same = prediction > prediction[:, None], prediction == prediction[:, None]
    better, equal = gain > gain[:, None], gain == gain[:, None]
    # The best order has rows of equal gain as they are predicted. So where the predicted order is a best one, both
    # discounts are the same numbers, and the difference is 0 and not what rounding leaves of it.
    own, best = discount(above, same), discount(better | equal & above, equal & same)
    missed, ideal = (jnp.sum(jnp.where(real, gain * part, 0.0)) for part in (best - own, best))
    return jnp.where(jnp.any(better & real[:, None] & real), 1.0 - jnp.maximum(missed, 0.0) / ideal, jnp.nan)


@refuse_nan
def ndcg(prediction: Array, rating: Array, mask: Array, k: int, scale: Scale) -> Array:
    """Expected nDCG@k of [Q] predictions with gain 2^stars - 1, stars being the rating moved to a scale from 1 to 5.

    So it is the usual 2^rating - 1 where ratings are from 1 to 5, and the same in whatever unit ratings are. Undefined
    when all ratings are equal, or there is one. An order in which no row is ahead of a better one gets exactly 1.
    """
    return normalised_dcg(prediction, jnp.exp2(scale.stars(rating)) - 1.0, mask, k)


@refuse_nan
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


class Metric(NamedTuple):
    """A row of the registry: table, JSON, report, comparison and training read what they need to know of it here."""

    name: str  # in results.json
    label: str  # for people
    function: Callable[..., Array]  # of one task -> []; callers vmap
    lower_is_better: bool
    rooted: bool = False  # the mean over tasks is of squares, and then its root is taken
    needs_units: bool = False  # undefined for methods whose output is a mere score
    glossary: str = ""

    @property
    def sign(self) -> int:
        """What a value is multiplied with so that lower is better."""
        return 1 if self.lower_is_better else -1

    @property
    def direction(self) -> str:
        """Which way is good, in words."""
        return "lower is better" if self.lower_is_better else "higher is better"

    def mean(self, values: np.ndarray) -> float:
        """Mean over the tasks [T] on which it is defined, its root where that is due; NaN without one."""
        defined = values[~np.isnan(values)]
        value = float(defined.mean()) if len(defined) else float("nan")
        return float(np.sqrt(value)) if self.rooted else value


def _plain(function: Callable[..., Array]) -> Callable[..., Array]:
    """A metric that does not ask for the scale of the ratings, as a function of (prediction, rating, mask, scale)."""
    return lambda prediction, rating, mask, scale: function(prediction, rating, mask)


# Of (prediction [Q], rating [Q], mask [Q], scale of the ratings); from `scale.liked` on a row is relevant.
RATING = (
    Metric(
        "rmse",
        "RMSE",
        _plain(squared_error),
        lower_is_better=True,
        rooted=True,
        needs_units=True,
        glossary="Typical error of a predicted rating, in rating units; large errors count more.",
    ),
    Metric(
        "mae",
        "MAE",
        _plain(absolute_error),
        lower_is_better=True,
        needs_units=True,
        glossary="Mean size of the error of a predicted rating, in rating units.",
    ),
    Metric(
        "auc",
        "AUC",
        _plain(auc),
        lower_is_better=False,
        glossary="How often, of two items rated unequally, the better one is predicted higher. Chance: 0.5.",
    ),
    Metric(
        "ndcg@5",
        "nDCG@5",
        lambda prediction, rating, mask, scale: ndcg(prediction, rating, mask, 5, scale),
        lower_is_better=False,
        glossary="Quality of the first 5 of the predicted order, the top counting most. Ideal: 1.",
    ),
    Metric(
        "precision@5",
        "Precision@5",
        lambda prediction, rating, mask, scale: precision(prediction, rating, mask, 5, scale.liked),
        lower_is_better=False,
        glossary="Share of liked items among the first 5 of the predicted order.",
    ),
    Metric(
        "ndcg@10",
        "nDCG@10",
        lambda prediction, rating, mask, scale: ndcg(prediction, rating, mask, 10, scale),
        lower_is_better=False,
        glossary="Quality of the first 10 of the predicted order, the top counting most. Ideal: 1.",
    ),
)
# Of the ranks of a task's relevant items among a whole catalogue (`ranking_metrics.Ranks`).
RANKING = (
    Metric(
        "ndcg@10",
        "nDCG@10",
        lambda ranks: ranking_metrics.ndcg(ranks, 10),
        lower_is_better=False,
        glossary="Quality of the first 10 of the ranking, the top counting most. Ideal: 1.",
    ),
    Metric(
        "recall@20",
        "Recall@20",
        lambda ranks: ranking_metrics.recall(ranks, 20),
        lower_is_better=False,
        glossary="Share of the liked items among the first 20.",
    ),
    Metric(
        "hit@10",
        "Hit rate@10",
        lambda ranks: ranking_metrics.hit_rate(ranks, 10),
        lower_is_better=False,
        glossary="Chance that a liked item is among the first 10.",
    ),
    Metric(
        "mrr",
        "MRR",
        ranking_metrics.reciprocal_rank,
        lower_is_better=False,
        glossary="Mean of 1 / rank of the first liked item.",
    ),
)
# Of (outputs [Q, C], classes [Q], mask [Q]).
ACCURACY = Metric(
    "accuracy", "Accuracy", accuracy, lower_is_better=False, glossary="Share of the queries whose class is told right."
)
# Of (prediction [Q], y [Q], mask [Q]), on tasks that are no ratings.
MSE = Metric("mse", "MSE", squared_error, lower_is_better=True, glossary="Mean squared error of a task.")
REGISTRY = (*RATING, *RANKING, ACCURACY, MSE)


def by_name(name: str) -> Metric:
    """The metric of a name; of two with one name (nDCG of ratings and of a catalogue) the first, as what is said of
    them is the same.

    Raises:
      KeyError: there is none of this name.
    """
    for metric in REGISTRY:
        if metric.name == name:
            return metric
    raise KeyError(f"there is no metric {name!r}; add a row to the registry in eval/metrics.py.")


@partial(jax.jit, static_argnames="metrics")
def _of_tasks(
    predictions: Array, ratings: Array, mask: Array, scale: Scale | None, metrics: tuple[Metric, ...]
) -> dict[str, Array]:
    def of_one(*task: Array) -> dict[str, Array]:
        return {metric.name: metric.function(*task, scale) for metric in metrics}

    return jax.vmap(of_one)(predictions, ratings, mask)


def per_task(
    predictions: Array, ratings: Array, mask: Array, scale: Scale | None, metrics: tuple[Metric, ...] = RATING
) -> dict[str, np.ndarray]:
    """Metrics of T tasks.

    Args:
      predictions: [T, Q] finite predictions, in rating units (for "rmse" and "mae" to mean anything).
      ratings: [T, Q] true ratings, within the scale.
      mask: [T, Q] 1 real, 0 padding.
      scale: of the ratings of the data set. "ndcg" and "precision" ask for it; None where no metric does.
      metrics: which.

    Returns:
      Metric name -> [T] float32 on the host, NaN where the metric is undefined. A rooted metric holds the mean square
      of each task: the root is taken of the mean over tasks, never of one task.

    Raises:
      ValueError: a prediction or a rating of a real row is NaN.
    """
    broken = broken_rows(*map(np.asarray, (predictions, ratings, mask))).any(1)
    if broken.any():
        raise ValueError(f"a prediction or a rating of task {int(broken.argmax())} is NaN, which no metric can count.")
    return in_blocks(lambda block: _of_tasks(*block, scale, metrics), (predictions, ratings, mask), 128)
