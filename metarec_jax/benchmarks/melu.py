"""MeLU's four partitions (`tasks/melu_split.py`) as benchmarks, and their absolute errors beside what was published."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Benchmark
from metarec_jax.benchmarks.ratings import ratings_benchmark
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals
from metarec_jax.eval.grid_search import Shots
from metarec_jax.recipes import RECIPES
from metarec_jax.report.table import aligned
from metarec_jax.tasks.melu_split import PARTITIONS, Partition, read_cold, split_partition
from metarec_jax.tasks.splits import Split

# MAE as published, of the paper and of the best re-implementation, in the order of PARTITIONS. Their sizes bear the
# order out: new films are hard for everybody, new users are not.
PUBLISHED = {"MeLU, published": (0.75, 0.79, 0.92, 0.92), "MeLU, re-implemented": (0.68, 0.74, 0.90, 0.89)}


def melu_partitions(path: Path, shots: Sequence[Shots] = ("all",), query: int = 10) -> dict[str, Benchmark]:
    """Name -> the benchmark of one partition: warm or cold users on warm or cold items.

    Args:
      path: of the file that says who is cold, see `melu_split.read_cold`.
      shots: numbers K of known ratings; "all": whatever the query leaves, as in the paper.
      query: ratings of a task that are predicted.
    """
    protocol: dict[str, Any] = {"shots": shots, "query": query, "order": "random", "recipes": RECIPES}
    protocol["default"] = ("melu_published", "melu", "attentive_ridge")
    benchmarks = {}
    for name, partition in PARTITIONS.items():
        split = partial(_split, path, partition, query)
        unseen = 1.0 if partition.cold_items else 0.0
        benchmarks[name] = ratings_benchmark(f"melu_partitions: {name}", split=split, unseen=unseen, **protocol)
    return benchmarks


def _split(path: Path, partition: Partition, query: int, ratings: Ratings, seed: int) -> Split:
    return split_partition(ratings, read_cold(path, ratings), partition, seed=seed, query=query)


def absolute_errors(predictions: pl.DataFrame, levels: np.ndarray | None = None) -> dict[str, intervals.Estimate]:
    """Method -> mean absolute error over tasks, with its interval.

    Args:
      predictions: a run's `predictions.parquet`.
      levels: the ratings that may be given. With them a prediction is moved to the nearest: the median of a symmetric
        predictive distribution on these levels, which is what makes an absolute error least, as the mean does a square.
    """
    estimates = {}
    for (name,), frame in predictions.group_by("name", maintain_order=True):
        predicted = frame["prediction"].to_numpy()
        if levels is not None:
            predicted = levels[np.abs(predicted[:, None] - levels).argmin(1)]
        errors = frame.with_columns(error=np.abs(predicted - frame["target"].to_numpy()))
        tasks = errors.group_by("seed", "user", maintain_order=True).agg(pl.col("error").mean())
        estimates[str(name)] = intervals.estimate(tasks["error"].to_numpy(), tasks["user"].to_numpy(), False)
    return estimates


def summary(predictions: Mapping[str, pl.DataFrame]) -> str:
    """All partitions side by side, and what was published.

    Args:
      predictions: name of a partition -> its run's `predictions.parquet`.
    """
    rows = [["MAE [95% interval]", *predictions]]
    levels = np.unique(np.concatenate([frame["target"].to_numpy() for frame in predictions.values()]))
    for suffix, allowed in (("", None), (", nearest rating", levels)):
        parts = [absolute_errors(frame, allowed) for frame in predictions.values()]
        for name in parts[0]:
            rows.append(
                [name + suffix, *(f"{p[name].mean:.3f} [{p[name].low:.3f}, {p[name].high:.3f}]" for p in parts)]
            )
    rows += [[name, *(f"{value:.2f}" for value in values)] for name, values in PUBLISHED.items()]
    return "\n".join(line.rstrip() for line in aligned(rows))
