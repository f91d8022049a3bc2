"""The driver of every benchmark: methods are trained or chosen, one after another, and measured on the same test tasks.

What a method has done is kept in the store as soon as it exists, and not done again.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, Key, Trained
from metarec_jax.benchmarks.fitting import choose, train
from metarec_jax.benchmarks.result import Result, compose
from metarec_jax.eval.compare import Scores, result_rows
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes.base import Recipe
from metarec_jax.tasks.split_file import split_content
from metarec_jax.train.loop import TrainingError
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store, StoreError

ROWS = ("name", "shots", "seed", "task", "user", "item", "target", "prediction")  # of predictions.parquet


class Outcome(NamedTuple):
    """What a method did on a fold."""

    # "predictions": `ROWS`; "values": name, shots, seed, task, user and a column a metric; those of `Answers.more`.
    frames: dict[str, pl.DataFrame]
    info: dict[str, Any]  # kind, output, seconds, settings by K, frames by name


def run(
    benchmark: Benchmark,
    data: Any,
    recipes: Iterable[Recipe | str],
    *,
    seeds: Sequence[int] = (0,),
    store: Store | None = None,
    sharding: Sharding | None = None,
    progress: bool = True,
    on_method: Callable[[str, int, float], None] = lambda name, seed, seconds: None,
) -> Result:
    """Measure methods on a benchmark.

    Args:
      benchmark: for example `user_cold_start()`.
      data: what it is measured on, for example from `data.load`.
      recipes: the methods, in the order of the table; a text is the benchmark's recipe of that name.
      seeds: of splits and training.
      store: where what was done is kept, and gone on from; None: in memory.
      sharding: of the work of a training step over devices.
      progress: whether bars are shown.
      on_method: told the name, the seed and the seconds of each method that is done.

    Raises:
      ValueError: an unknown name, two methods of one name, or nothing to run.
      StoreError: the store is damaged, or of other data.
      TrainingError, PredictionError: a learner diverges.
    """
    begun, store = time.perf_counter(), store or Store()
    methods = resolve(benchmark, recipes)
    table = benchmark.table(data)
    folds = {seed: benchmark.folds(table, seed, store) for seed in seeds}
    for of_seed in folds.values():
        for fold in of_seed:
            fold.check()
    bind(store, table, folds)
    timing: dict[str, float] = {}
    outcomes: dict[str, list[Outcome]] = {recipe.name: [] for recipe in methods}
    known = dict(benchmark.recipes) | {recipe.name: recipe for recipe in methods}

    def trained(name: str, fold: Fold) -> Trained:
        return train(benchmark, known[name], fold, store, sharding=sharding, progress=progress)

    for seed, of_seed in folds.items():
        for fold in of_seed:
            fold.prepare(partial(trained, fold=fold))
        for recipe in methods:
            for fold in of_seed:
                found = run_method(benchmark, recipe, fold, store, sharding=sharding, progress=progress)
                outcomes[recipe.name].append(found)
                on_method(recipe.name, seed, found.info["seconds"])
                timing[recipe.name] = timing.get(recipe.name, 0.0) + found.info["seconds"]
    every = [outcome for found in outcomes.values() for outcome in found]
    frames = {name: pl.concat([outcome.frames[name] for outcome in every]) for name in every[0].frames}
    for name, frame in frames.items():
        store.save_frame(f"{name}.parquet", frame)
    scores = [score for found in outcomes.values() for score in scores_of(benchmark, found)]
    rows = result_rows(scores, benchmark.metrics, benchmark.same_query)
    infos = {name: found[0].info for found in outcomes.values() for name in found[0].frames["values"]["name"].unique()}
    timing["total"] = time.perf_counter() - begun
    content = compose(benchmark, table, folds, rows, infos, store, timing)
    return Result(benchmark.finish(content, table, folds, frames, store))


def resolve(benchmark: Benchmark, recipes: Iterable[Recipe | str]) -> list[Recipe]:
    """The recipes themselves.

    Raises:
      ValueError: as of `run`.
    """
    found = []
    for recipe in recipes:
        if isinstance(recipe, str) and recipe not in benchmark.recipes:
            raise ValueError(f"unknown method {recipe!r}; {benchmark.name} knows {', '.join(benchmark.recipes)}.")
        found.append(benchmark.recipes[recipe] if isinstance(recipe, str) else recipe)
    names = [recipe.name for recipe in found]
    if not found:
        raise ValueError("there is no method to run.")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two methods are called {name!r}; give one another name, recipe._replace(name=...).")
    return found


def bind(store: Store, table: Any, folds: dict[int, list[Fold]]) -> None:
    """Make the store one of these data.

    Raises:
      StoreError: it was begun with others.
    """
    splits = [fold.split for of_seed in folds.values() for fold in of_seed if fold.split is not None]
    data = {"ratings": getattr(table, "sha256", None), "splits": [split.sha256 for split in splits]}
    begun_with = store.load("data.json")
    if begun_with is not None and json.loads(begun_with) != data:
        where = store.where("").rstrip("/") or "the store"
        raise StoreError(f"the ratings or splits have changed since {where} was begun; choose another --workdir.")
    store.save("data.json", json.dumps(data, indent=1).encode())
    for of_seed in folds.values():
        for fold in of_seed:
            if fold.split is not None:
                store.save(f"{fold.folder}/split.parquet", split_content(fold.tables["all"], fold.split))


def run_method(
    benchmark: Benchmark, recipe: Recipe, fold: Fold, store: Store, *, sharding: Sharding | None, progress: bool
) -> Outcome:
    """What a method does on a fold, or what an earlier run of it left in the store."""
    folder = f"{fold.folder}/{recipe.name}"
    kept = load_outcome(store, folder, recipe.name)
    if kept:
        return kept
    begun = time.perf_counter()
    try:
        if recipe.training is None:
            answers = {}
            for trained, shots in choose(benchmark, recipe, fold):
                answers |= _answered(benchmark, recipe.name, trained, fold, shots)
        else:
            trained = train(benchmark, recipe, fold, store, sharding=sharding, progress=progress)
            answers = _answered(benchmark, recipe.name, trained, fold, list(fold.held_out("test")))
    except (TrainingError, PredictionError):
        store.drop(folder)  # nothing worth resuming
        raise
    found = frames(recipe.name, fold.seed, {k: found for k, (found, _) in answers.items()})
    info = {"kind": recipe.kind, "output": recipe.output, "seconds": time.perf_counter() - begun}
    info["settings"] = {str(shots_of(k)): settings for k, (_, settings) in answers.items()}
    outcome = Outcome(found, info | {"frames": list(found)})
    save_outcome(store, folder, outcome)
    return outcome


def _answered(
    benchmark: Benchmark, name: str, trained: Trained, fold: Fold, shots: list[Key]
) -> dict[Key, tuple[Answers, dict[str, Any]]]:
    """K -> what a trained method did, and its settings."""
    found = benchmark.answer(name, trained, fold, shots)
    return {k: (answers, trained.settings | answers.settings) for k, answers in found.items()}


def shots_of(key: Key) -> Shots:
    """The K of what an answer is found by."""
    return key[0] if isinstance(key, tuple) else key


def frames(name: str, seed: int, answers: dict[Key, Answers]) -> dict[str, pl.DataFrame]:
    """What a method did, by the name of the file: K after K, and several answers at one K in their order."""
    head = ("name", "shots", "seed")

    def place(key: Key) -> tuple[bool, Shots]:
        return isinstance(shots_of(key), str), shots_of(key)

    def values(found: Answers) -> pl.DataFrame:
        columns = {"task": np.arange(len(found.users), dtype=np.int32), "user": found.users} | found.values
        return pl.DataFrame(columns)

    parts: dict[str, list[pl.DataFrame]] = {}
    for key in sorted(answers, key=place):
        found = answers[key]
        own = (pl.lit(found.name or name).alias("name"), pl.lit(str(shots_of(key))).alias("shots"))
        for file, frame in {"predictions": found.rows, "values": values(found), **found.more}.items():
            marked = frame.with_columns(*own, pl.lit(seed, pl.Int32).alias("seed"))
            parts.setdefault(file, []).append(marked.select(*head, pl.exclude(head)))
    joined = {file: pl.concat(several) for file, several in parts.items()}
    return joined | {"predictions": joined["predictions"].select(ROWS)}


def scores_of(benchmark: Benchmark, outcomes: list[Outcome]) -> list[Scores]:
    """The values of a method at every K, its seeds side by side."""
    frame, kind = pl.concat([outcome.frames["values"] for outcome in outcomes]), outcomes[0].info["kind"]
    found = []
    for (name, shots), own in frame.group_by("name", "shots", maintain_order=True):
        values = {metric.name: own[metric.name].to_numpy() for metric in benchmark.metrics if metric.name in own}
        k = int(shots) if shots.isdigit() else shots
        found.append(Scores(name, kind, k, own["user"].to_numpy(), own["seed"].to_numpy(), values))
    return found


def load_outcome(store: Store, folder: str, name: str) -> Outcome | None:
    """What an earlier run kept of a method, or None.

    Raises:
      StoreError: it is damaged.
    """
    remedy = f"delete {store.where(folder)} to run {name} again."
    info = store.load_json(f"{folder}/info.json", remedy)  # written last
    if info is None:
        return None
    return Outcome({file: store.load_frame(f"{folder}/{file}.parquet", remedy) for file in info["frames"]}, info)


def save_outcome(store: Store, folder: str, outcome: Outcome) -> None:
    """Keep what a method did."""
    for file, frame in outcome.frames.items():
        store.save_frame(f"{folder}/{file}.parquet", frame)
    store.save(f"{folder}/info.json", json.dumps(outcome.info, indent=1).encode())
