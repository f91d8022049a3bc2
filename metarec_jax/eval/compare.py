"""Methods side by side: means with intervals, the best baseline, paired comparisons."""

from typing import NamedTuple

import numpy as np

from metarec_jax.eval import intervals
from metarec_jax.eval.metrics import Metric


class Scores(NamedTuple):
    """One method at one K, all seeds together, one entry a task."""

    name: str
    kind: str  # "learner" or "baseline"
    shots: int | str  # K, or "all"
    users: np.ndarray  # [T] raw id of the task's user: what the bootstrap resamples
    seeds: np.ndarray  # [T]
    values: dict[str, np.ndarray]  # metric -> [T], NaN where undefined
    transductive: bool = False  # whether the prediction for a query depends on the other queries


def result_rows(scores: list[Scores], metrics: tuple[Metric, ...], same_query: bool = True) -> list[dict]:
    """The rows of `results.json`: estimates, the best baseline's paired comparison, and what adaptation adds.

    The best baseline at a K and metric is chosen on these very tasks, in the baselines' favour, among those that see no
    more than the learner: a transductive one only where the learner is. "versus" names the best by the first metric.
    What adaptation adds can be told only where a task is asked the `same_query` at every K.
    """
    return [_row(score, scores, metrics, same_query) for score in scores]


def _row(score: Scores, scores: list[Scores], metrics: tuple[Metric, ...], same_query: bool) -> dict:
    known = [metric for metric in metrics if metric.name in score.values]
    row = {"name": score.name, "kind": score.kind, "shots": score.shots}
    row["metrics"] = {metric.name: _estimate(score, metric) for metric in known}
    if score.kind != "learner":
        return row
    rivals = [other for other in scores if other.kind == "baseline" and other.shots == score.shots]
    rivals = [other for other in rivals if score.transductive or not other.transductive]
    if rivals:
        best = {metric: _best(rivals, metric) for metric in known}
        row["versus"] = {"baseline": best[known[0]].name} | {
            metric.name: {"baseline": rival.name} | _difference(score, rival, metric) for metric, rival in best.items()
        }
    before = [other for other in scores if other.name == score.name and other.shots == 0]
    if before and score.shots != 0 and same_query:
        row["adaptation"] = {metric.name: _difference(score, before[0], metric) for metric in known}
    return row


def _best(rivals: list[Scores], metric: Metric) -> Scores:
    def badness(rival: Scores) -> float:
        value = metric.sign * metric.mean(rival.values[metric.name])
        return value if np.isfinite(value) else float("inf")

    return min(rivals, key=badness)


def _estimate(score: Scores, metric: Metric) -> dict:
    values = score.values[metric.name]
    estimate = intervals.estimate(values, score.users, metric.rooted)._asdict()
    return estimate | {"per_seed": [metric.mean(values[score.seeds == seed]) for seed in np.unique(score.seeds)]}


def _difference(score: Scores, other: Scores, metric: Metric) -> dict:
    """Score minus other on the tasks that both have."""
    keys = [list(zip(side.seeds.tolist(), side.users.tolist(), strict=True)) for side in (score, other)]
    place = {key: index for index, key in enumerate(keys[1])}
    common = [(index, place[key]) for index, key in enumerate(keys[0]) if key in place]
    mine, others = np.array(common).T
    values = score.values[metric.name][mine], other.values[metric.name][others]
    return intervals.compare(*values, score.users[mine], metric.rooted)._asdict()
