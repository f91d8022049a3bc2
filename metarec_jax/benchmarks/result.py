"""The results of a benchmark: tables, frames, a report."""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from metarec_jax.benchmarks.base import Benchmark, Fold, Outcome
from metarec_jax.data.table import Ratings
from metarec_jax.eval.compare import Scores, result_rows
from metarec_jax.ops.files import write_atomic
from metarec_jax.ops.untrusted import json_value
from metarec_jax.recipes.base import Recipe
from metarec_jax.report import html, latex, plots, results, table
from metarec_jax.tasks.splits import tied_cuts
from metarec_jax.train.store import Store


class Result:
    """The results of a benchmark; `content` is what results.json holds (`report/results.py`)."""

    def __init__(self, content: dict[str, Any]):
        self.content = results.validate(results.plain(content))

    @classmethod
    def load(cls, path: str | Path) -> "Result":
        """What `save` wrote.

        Raises:
          ResultsError: it is damaged, so that its table cannot be made; the message names the file.
        """
        try:
            loaded = cls(cls.read(path))
            loaded.table()
            return loaded
        except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError, StopIteration) as error:
            if isinstance(error, results.ResultsError):
                raise
            raise results.ResultsError(
                f"{path} is damaged ({error!r}); delete it, and the same command makes it again"
            ) from error

    @staticmethod
    def read(path: str | Path) -> dict[str, Any]:
        """The content of a file."""
        return results.read_json(path)

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
                for row in self._rows()
                for metric, figures in row["metrics"].items()
            ]
        )

    def to_latex(self, metric: str | None = None) -> str:
        """A LaTeX table of a metric, the best of each column in bold."""
        rows = {"rows": self._rows()}
        return latex.latex_table(rows, metric or results.metrics(rows)[0])

    def report(self, path: str | Path) -> None:
        """Write one self-contained HTML page."""
        write_atomic(path, html.html_page(self.content).encode())

    def save(self, path: str | Path) -> None:
        """Write results.json."""
        results.write_json(path, self.content)

    def figures(self) -> dict[str, Figure]:
        """File name -> picture."""
        return {"curves.png": plots.curves_figure(self.content)}

    def write(self, folder: Path) -> None:
        """Write the pictures, report.html, and last results.json: it says that the run is complete."""
        for name, figure in self.figures().items():
            plots.save_figure(figure, folder / name)
        self.report(folder / "report.html")
        self.save(folder / "results.json")

    def _rows(self) -> list[dict[str, Any]]:
        return self.content["rows"]


class PageResult(Result):
    """Results with a layout and a page of their own; `page` is the module of `report` that knows them."""

    page: Any  # text_table, html_page, figures, and rows in the layout of `report/results.py`

    def __init__(self, content: dict[str, Any]):
        self.content = results.plain(content)

    @staticmethod
    def read(path: str | Path) -> dict[str, Any]:
        return json_value(Path(path).read_bytes())

    def table(self, metric: str | None = None) -> str:
        """Aligned text: the figures and all comparisons; there is one metric."""
        del metric
        return self.page.text_table(self.content)

    def report(self, path: str | Path) -> None:
        write_atomic(path, self.page.html_page(self.content).encode())

    def save(self, path: str | Path) -> None:
        write_atomic(path, json.dumps(self.content, indent=1, allow_nan=False).encode() + b"\n")

    def figures(self) -> dict[str, Figure]:
        return self.page.figures(self.content)

    def _rows(self) -> list[dict[str, Any]]:
        return self.page.rows(self.content)


class Measured(NamedTuple):
    """Everything that a run of a benchmark knows."""

    benchmark: Benchmark
    data: Any  # what `benchmark.table` made of the data set
    recipes: list[Recipe]
    folds: dict[int, list[Fold]]  # by seed
    outcomes: dict[str, list[Outcome]]  # by method, of all folds
    store: Store
    timing: dict[str, float]

    def frames(self) -> dict[str, pl.DataFrame]:
        """What is kept of all methods and seeds: "predictions", "values" and those of `Answers.more`."""
        every = [outcome for own in self.outcomes.values() for outcome in own]
        return {name: pl.concat([outcome.frames[name] for outcome in every]) for name in every[0].frames}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of results.json, one a method and K, with the settings on the first seed."""
        settings = {}
        for outcome in reversed([each for own in self.outcomes.values() for each in own]):
            names = outcome.values["name"].unique()
            settings |= {(name, k): each for name in names for k, each in outcome.info["settings"].items()}
        scores = [score for own in self.outcomes.values() for score in scores_of(self.benchmark, own)]
        rows = result_rows(scores, self.benchmark.metrics, self.benchmark.same_query)
        starts = {recipe.name: recipe.start for recipe in self.recipes if recipe.kind == "learner"}
        return [
            row
            | {"settings": settings[row["name"], str(row["shots"])]}
            | ({"start": starts[row["name"]]} if row["name"] in starts else {})
            for row in rows
        ]

    def warnings(self) -> list[str]:
        """Sentences: what a reader of the figures has to know."""
        every = [warning for own in self.outcomes.values() for each in own for warning in each.info.get("warnings", [])]
        first = next(iter(self.folds.values()))[0]
        tied = first.split and tied_cuts(first.tables["all"], first.split.test)
        if tied:
            every.append(
                f"{tied:.0%} of the test tasks have a rating of the same time on both sides of the cut between what is"
                " known and what is asked; a hash decides which is which."
            )
        return every


def scores_of(benchmark: Benchmark, outcomes: list[Outcome]) -> list[Scores]:
    """The values of a method at every K, its seeds side by side."""
    frame, info = pl.concat([outcome.values for outcome in outcomes]), outcomes[0].info
    scores = []
    for (name, shots), own in frame.group_by("name", "shots", maintain_order=True):
        values = {metric.name: own[metric.name].to_numpy() for metric in benchmark.metrics if metric.name in own}
        k, users, seeds = int(shots) if shots.isdigit() else shots, own["user"].to_numpy(), own["seed"].to_numpy()
        scores.append(Scores(name, info["kind"], k, users, seeds, values, info["transductive"]))
    return scores


def compose(measured: Measured) -> Result:
    """The results of a benchmark of ratings."""
    seeds, store = list(measured.folds), measured.store
    return Result(
        {
            "schema": results.SCHEMA,
            "experiment": measured.benchmark.name,
            "dataset": facts(measured.data),
            "split": describe(measured.folds),
            "seeds": seeds,
            "rows": measured.rows(),
            "warnings": measured.warnings(),
            "curves": {name: store.curve(seeds[0], name) for name in store.names(seeds[0])},
            "timing": {stage: round(seconds, 2) for stage, seconds in measured.timing.items()},
            "environment": environment(),
        }
    )


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
