"""What a protocol is: tasks to train on, tasks that are held out, and what of a method is measured on them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.metrics import Metric
from metarec_jax.recipes.base import Built, Recipe
from metarec_jax.tasks.splits import Split
from metarec_jax.train.store import Store
from metarec_jax.types import Baseline, Learner, Params, Scale, Tasks

Method = Learner | Baseline
Key = Any  # Shots, or (Shots, text) where a method has several answers at one K


class HeldOut(NamedTuple):
    """Held-out tasks at one K."""

    tasks: Any  # pytree with a leading [T]: episodes, or what else the benchmark measures on
    users: np.ndarray  # [T] raw ids of their owners: what the bootstrap resamples
    scale: Scale | None = None  # of the ratings, for metrics that ask for it


@dataclasses.dataclass(frozen=True)
class Fold:
    """A seed of a benchmark: what methods are trained on, and the tasks that are held out."""

    seed: int
    # "train" is what methods are built for; "all" the table that the split is of; others that stages train on.
    tables: Mapping[str, Any]
    # Training tasks of a table, or of whatever else a benchmark's own `fit` trains on; with folds=True those that
    # `train.cross_fit` reads.
    tasks: Callable[..., Tasks]
    held_out: Callable[[str], Mapping[Key, HeldOut]]  # of "valid" or "test", made when first asked for
    folder: str  # in the store
    split: Split | None = None
    check: Callable[[], Any] = lambda: None  # raises what is wrong with the held-out tasks, before anything is kept
    # What early stopping watches; None: the validation tasks.
    watched: Callable[[], Mapping[Shots, HeldOut]] | None = None
    # Called once before any method is measured, with what trains one of the benchmark's `helpers` by its name.
    prepare: Callable[[Callable[[str], "Trained"]], Any] = lambda trained: None
    suffix: str = ""  # of its methods' names on the disk and in the log, where a seed has several folds

    def label(self, name: str) -> str:
        """A method on this fold, in the log."""
        return name + self.suffix

    def place(self, name: str) -> str:
        """The folder of a method in the store."""
        return f"{self.folder}/{self.label(name)}"


class Answers(NamedTuple):
    """What a method did on the test tasks at one K."""

    values: dict[str, np.ndarray]  # metric -> [T], NaN where undefined; rooted metrics as mean squares
    users: np.ndarray  # [T]
    rows: pl.DataFrame  # predictions: task, user, item, target, prediction
    settings: dict[str, Any] = {}  # beside the method's own
    name: str = ""  # of the row in tables, where it is not the method's
    more: dict[str, pl.DataFrame] = {}  # whatever else is kept beside the predictions, by the name of its file


class Trained(NamedTuple):
    """A method that is ready to adapt: a learner after meta-training, a classical method after its fit."""

    method: Method
    params: Params
    settings: dict[str, Any]
    # Keywords of the recipe's builder -> the same method with these settings instead of its own.
    rebuild: Callable[..., Built] | None = None
    warning: str = ""  # a sentence: what is wrong with it


class Outcome(NamedTuple):
    """What a method did on a fold."""

    # "predictions": `driver.ROWS`; "values": name, shots, seed, task, user and a column a metric; `Answers.more`.
    frames: dict[str, pl.DataFrame]
    info: dict[str, Any]  # kind, output, transductive, seconds, settings by K, warnings, names of the frames

    @property
    def predictions(self) -> pl.DataFrame:
        """What it predicted."""
        return self.frames["predictions"]

    @property
    def values(self) -> pl.DataFrame:
        """Its metrics, one row a task."""
        return self.frames["values"]


class Benchmark(NamedTuple):
    """A protocol that is measured."""

    name: str
    folds: Callable[[Any, int, Store], list[Fold]]  # (data, seed, store) -> usually one
    # (name, method, params, held-out tasks at one K, metrics) -> metric -> [T], for choosing by
    measure: Callable[[str, Method, Params, HeldOut, tuple[Metric, ...]], Mapping[str, np.ndarray]]
    # (name, trained, fold, Ks) -> what it did on the test tasks
    answer: Callable[[str, Trained, Fold, list[Key]], Mapping[Key, Answers]]
    metrics: tuple[Metric, ...]  # the first one validates; of mere scores the first that needs no units
    recipes: Mapping[str, Recipe]  # of the methods that answer it
    default: tuple[str, ...]  # learners that run when nothing is said
    table: Callable[[Any], Any] = lambda data: data  # of a data set: the one whose `user` column owns the tasks
    protocol: Mapping[str, Any] = MappingProxyType({})  # how much is asked: shots, query, order; for files of results
    same_query: bool = True  # whether a task is asked the same at every K, so that what adaptation adds can be told
    helpers: tuple[str, ...] = ()  # recipes that `Fold.prepare` trains
    # (benchmark, recipe, fold, store, sharding=, progress=) -> methods that are ready, and the Ks at which they are;
    # None: `fitting.fitted`.
    fit: Callable[..., Iterator[tuple[Trained, list[Key]]]] | None = None
    result: Callable[[Any], Any] | None = None  # `result.Measured` -> `result.Result`; None: `result.compose`

    def validating(self, output: str) -> Metric:
        """The metric that a method with this output is chosen by."""
        return next(metric for metric in self.metrics if output != "score" or not metric.needs_units)

    def learners(self) -> list[str]:
        """Names of the learners."""
        return [name for name, recipe in self.recipes.items() if recipe.kind == "learner"]

    def baselines(self) -> list[str]:
        """Names of all that learners are compared with."""
        return [name for name, recipe in self.recipes.items() if recipe.kind == "baseline"]
