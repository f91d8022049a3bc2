"""The results of a benchmark: tables, frames, a report."""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Benchmark, Fold
from metarec_jax.data.table import Ratings
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import html, latex, results, table
from metarec_jax.train.store import Store


class Result:
    """The results of a benchmark; `content` is what results.json holds (`report/results.py`)."""

    def __init__(self, content: dict[str, Any]):
        self.content = results.validate(results.plain(content))

    def table(self, metric: str | None = None) -> str:
        """Aligned text: the figures, learners against the best baseline, what adaptation adds.

        Args:
          metric: None: the first one.
        """
        return table.text_table(self.content, metric or results.metrics(self.content)[0])

    def frame(self) -> pl.DataFrame:
        """One row a method, K and metric: name, kind, shots, metric, mean, low, high, tasks, undefined."""
        return pl.DataFrame(
            [
                {"name": row["name"], "kind": row["kind"], "shots": str(row["shots"]), "metric": metric}
                | {key: figures[key] for key in ("mean", "low", "high", "tasks", "undefined")}
                for row in self.content["rows"]
                for metric, figures in row["metrics"].items()
            ]
        )

    def to_latex(self, metric: str | None = None) -> str:
        """A LaTeX table of a metric, the best of each column in bold."""
        return latex.latex_table(self.content, metric or results.metrics(self.content)[0])

    def report(self, path: str | Path) -> None:
        """Write one self-contained HTML page."""
        write_atomic(path, html.html_page(self.content).encode())

    def save(self, path: str | Path) -> None:
        """Write results.json."""
        results.write_json(path, self.content)


def compose(
    benchmark: Benchmark,
    data: Any,
    folds: dict[int, list[Fold]],
    rows: list[dict[str, Any]],
    infos: dict[str, dict[str, Any]],
    store: Store,
    timing: dict[str, float],
) -> dict[str, Any]:
    """The content of results.json from its rows without settings, and what is known of each method."""
    seeds = list(folds)
    for row in rows:
        row["settings"] = infos[row["name"]]["settings"][str(row["shots"])]
    return {
        "schema": results.SCHEMA,
        "experiment": benchmark.name,
        "dataset": facts(data),
        "split": describe(folds),
        "seeds": seeds,
        "rows": rows,
        "curves": {name: store.curve(seeds[0], name) for name in store.names(seeds[0])},
        "timing": {stage: round(seconds, 2) for stage, seconds in timing.items()},
        "environment": environment(),
    }


def facts(ratings: Ratings) -> dict[str, Any]:
    """What results.json says of a data set."""
    return {
        "name": ratings.name,
        f"{ratings.roles[0]}s": ratings.num_users,
        f"{ratings.roles[1]}s": ratings.num_items,
        "ratings": len(ratings.rating),
        "sha256": ratings.sha256,
        "source": ratings.source,
    }


def describe(folds: dict[int, list[Fold]]) -> dict[str, Any]:
    """What results.json says of the splits: all hashes, and the sizes of the first."""
    splits = [of_seed[0].split for of_seed in folds.values()]
    hashes = [split.sha256 for split in splits]
    owners = next(iter(folds.values()))[0].tables["all"].user
    return {
        "sha256": hashes[0] if len(hashes) == 1 else hashes,
        "train_tasks": len(np.unique(owners[splits[0].train_rows])),
        "valid_tasks": len(splits[0].valid.users),
        "test_tasks": len(splits[0].test.users),
    }


def environment() -> dict[str, Any]:
    """What the figures were made with."""
    return {
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
