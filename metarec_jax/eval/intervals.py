"""Means over tasks with bootstrap intervals, and paired comparisons.

The bootstrap resamples GROUPS of tasks, not tasks: a user who occurs under several seeds or at several
positions is one group, and its tasks are drawn together (the cluster bootstrap: Davison and Hinkley,
"Bootstrap methods and their application", 1997, section 3.8). Everything is deterministic: the same tasks
always get the same resamples.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

RESAMPLES = 2_000
LEVEL = 0.95
_SEED = 20_240_229
_BLOCK_ELEMENTS = 2**21  # draws held at a time: about 50 MB with the sums gathered from them


class Estimate(NamedTuple):
    """A mean over tasks (its root for RMSE), with the ends of its 95% interval.

    `tasks` counts the tasks behind the mean, `undefined` those left out because it is undefined on them.
    NaN: a mean without a task, an interval from fewer than two groups.
    """

    mean: float
    low: float
    high: float
    tasks: int
    undefined: int


class Difference(NamedTuple):
    """Metric of a minus metric of b on the same tasks, the ends of its 95% interval, p of a paired t-test."""

    difference: float
    low: float
    high: float
    p: float


def _group_sums(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the rows of `values` [T, C] within each of G groups, [G, C], and the rows in each, [G]."""
    _, index = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(index, weights=column) for column in values.T], axis=1)
    return sums, np.bincount(index)


def _interval(
    sums: np.ndarray, counts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float]:
    """Percentile interval of `statistic` (means [R, C] -> [R]) over resamples of the G groups."""
    number = len(counts)
    if number < 2:  # one group says nothing about the spread between groups
        return float("nan"), float("nan")
    rng = np.random.default_rng(_SEED)
    rows = max(1, _BLOCK_ELEMENTS // number)
    resampled = []
    for start in range(0, RESAMPLES, rows):
        drawn = rng.integers(number, size=(min(rows, RESAMPLES - start), number))
        total = np.stack([column[drawn].sum(axis=1) for column in sums.T], axis=1)
        resampled.append(statistic(total / counts[drawn].sum(axis=1)[:, None]))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(np.concatenate(resampled), [tail, 1.0 - tail])
    return float(low), float(high)


def _checked(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    if values.ndim != 1 or groups.shape != values.shape:
        raise ValueError(f"one value and one group a task are needed, got {values.shape} and {groups.shape}")
    return values, groups


def estimate(values: np.ndarray, groups: np.ndarray, root: bool) -> Estimate:
    """Mean over tasks with a 95% bootstrap interval.

    Args:
      values: [T] metric of each task, NaN where it is undefined; the task's MSE for RMSE.
      groups: [T] what is resampled together, for example the user's id.
      root: take the square root of the mean, inside each resample too (RMSE).

    Raises:
      ValueError: values and groups are not two vectors of one length.
    """
    values, groups = _checked(values, groups)
    defined = ~np.isnan(values)
    tasks, undefined = int(defined.sum()), int((~defined).sum())
    if tasks == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, undefined)

    def statistic(means: np.ndarray) -> np.ndarray:
        return np.sqrt(means[:, 0]) if root else means[:, 0]

    column = values[defined, None]
    low, high = _interval(*_group_sums(column, groups[defined]), statistic)
    return Estimate(float(statistic(column.mean(axis=0)[None])[0]), low, high, tasks, undefined)


def correlation(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> Estimate:
    """Pearson correlation of a [T] and b [T] with a 95% bootstrap interval over groups [T]; NaN where one is constant.

    Raises:
      ValueError: the three are not vectors of one length.
    """
    (a, groups), (b, _) = _checked(a, groups), _checked(b, groups)
    a, b = a - a.mean(), b - b.mean()  # so that no digits are lost in the moments

    def statistic(means: np.ndarray) -> np.ndarray:
        of_a, of_b, aa, bb, ab = means.T
        with np.errstate(invalid="ignore"):
            return (ab - of_a * of_b) / np.sqrt((aa - of_a**2) * (bb - of_b**2))

    moments = np.stack([a, b, a * a, b * b, a * b], axis=1)
    low, high = _interval(*_group_sums(moments, groups), statistic)
    return Estimate(float(statistic(moments.mean(axis=0)[None])[0]), low, high, len(a), 0)


def compare(a: np.ndarray, b: np.ndarray, groups: np.ndarray, root: bool) -> Difference:
    """Difference a - b on the tasks where both are defined: a paired bootstrap interval and a paired t-test.

    The interval resamples pairs, so what makes a task hard for both cancels. The t-test is on the mean
    difference of each group, in the units of the values (MSE for RMSE); p is 1 when all differences are 0.

    Args:
      a: [T] metric of each task, NaN where undefined; the task's MSE for RMSE.
      b: [T] the same metric of the other method on the same tasks.
      groups: [T] what is resampled together, for example the user's id.
      root: difference of the roots of the two means (RMSE) instead of the difference of the means.

    Returns:
      All NaN without a common task; interval and p are NaN with fewer than two groups.

    Raises:
      ValueError: the three are not vectors of one length.
    """
    (a, groups), (b, _) = _checked(a, groups), _checked(b, groups)
    defined = ~(np.isnan(a) | np.isnan(b))
    if not defined.any():
        return Difference(float("nan"), float("nan"), float("nan"), float("nan"))

    def statistic(means: np.ndarray) -> np.ndarray:
        means = np.sqrt(means) if root else means
        return means[:, 0] - means[:, 1]

    pairs = np.stack([a[defined], b[defined]], axis=1)
    sums, counts = _group_sums(pairs, groups[defined])
    low, high = _interval(sums, counts, statistic)
    return Difference(float(statistic(pairs.mean(axis=0)[None])[0]), low, high, _paired_p(sums, counts))


def _paired_p(sums: np.ndarray, counts: np.ndarray) -> float:
    """p of the t-test that the mean over groups of (a - b) is 0, from the [G, 2] sums of a and b."""
    if len(counts) < 2:
        return float("nan")
    differences = (sums[:, 0] - sums[:, 1]) / counts
    if not differences.any():
        return 1.0
    with np.errstate(divide="ignore"):  # all groups may differ by the same
        t = abs(differences.mean()) / (differences.std(ddof=1) / np.sqrt(len(differences)))
    return float(2.0 * special.stdtr(len(differences) - 1, -t))  # scipy.stats takes seconds to import
