"""Methods side by side: means with intervals, the best baseline, paired comparisons."""

from typing import NamedTuple

import numpy as np

from metarec_jax.eval import intervals

ROOTED = ("rmse",)  # metrics kept as a task's mean square; the root is taken of the mean over tasks

SCORE_FREE = ("rmse", "mae")  # metrics that a mere score, whose units mean nothing, does not have


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
