"""The driver of every benchmark: methods are trained or chosen, one after another, and measured on the same test tasks.

What a method has done is kept in the store as soon as it exists, and not done again.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from absl import logging

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, Key, Outcome, Trained
from metarec_jax.benchmarks.fitting import fitted, train
from metarec_jax.benchmarks.result import Measured, Result, compose
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes.base import Recipe
from metarec_jax.tasks.split_file import split_content
from metarec_jax.train.loop import TrainingError
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store, StoreError

INFO = {  # of info.json
    "kind": str, "output": str, "transductive": bool, "seconds": (int, float), "frames": list, "settings": dict
}  # fmt: skip
ROWS = ("name", "shots", "seed", "task", "user", "item", "target", "prediction")  # of predictions.parquet


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
                outcome = run_method(benchmark, recipe, fold, store, sharding=sharding, progress=progress)
                outcomes[recipe.name].append(outcome)
                label, seconds = fold.label(recipe.name), outcome.info["seconds"]
                on_method(label, seed, seconds)
                timing[label] = timing.get(label, 0.0) + seconds
    timing["total"] = time.perf_counter() - begun
    measured = Measured(benchmark, table, methods, folds, outcomes, store, timing)
    for name, frame in measured.frames().items():
        store.save_frame(f"{name}.parquet", frame)
    return (benchmark.result or compose)(measured)


def resolve(benchmark: Benchmark, recipes: Iterable[Recipe | str]) -> list[Recipe]:
    """The recipes themselves.

    Raises:
      ValueError: as of `run`.
    """
    resolved = []
    for recipe in recipes:
        if isinstance(recipe, str) and recipe not in benchmark.recipes:
            raise ValueError(f"unknown method {recipe!r}; {benchmark.name} knows {', '.join(benchmark.recipes)}.")
        resolved.append(benchmark.recipes[recipe] if isinstance(recipe, str) else recipe)
    names = [recipe.name for recipe in resolved]
    if not resolved:
        raise ValueError("there is no method to run.")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two methods are called {name!r}; give one another name, recipe._replace(name=...).")
    return resolved


def bind(store: Store, table: Any, folds: dict[int, list[Fold]]) -> None:
    """Make the store one of these data.

    Raises:
      StoreError: it was begun with others.
    """
    splits = [fold.split for of_seed in folds.values() for fold in of_seed if fold.split is not None]
    data = {"ratings": getattr(table, "sha256", None), "splits": [split.sha256 for split in splits]}
    where = store.where("").rstrip("/") or "the store"
    begun_with = store.load_json("data.json", f"delete {where} to start anew.")
    if begun_with is not None and begun_with != data:
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
    folder = fold.place(recipe.name)
    kept = load_outcome(store, folder, recipe.name)
    if kept:
        return kept
    begun, fit = time.perf_counter(), benchmark.fit or fitted
    answers: dict[Key, Answers] = {}
    warnings: list[str] = []
    try:
        for ready, keys in fit(benchmark, recipe, fold, store, sharding=sharding, progress=progress):
            if ready.warning:
                logging.warning(ready.warning)
                warnings.append(ready.warning)
            for key, own in benchmark.answer(recipe.name, ready, fold, keys).items():
                answers[key] = own._replace(settings=ready.settings | own.settings)
    except (TrainingError, PredictionError):
        store.drop(folder)  # nothing worth resuming
        raise
    outcome_frames = frames(recipe.name, fold.seed, answers)
    info = {"kind": recipe.kind, "output": recipe.output, "transductive": recipe.transductive}
    info |= {"seconds": time.perf_counter() - begun, "frames": list(outcome_frames), "warnings": warnings}
    info["settings"] = {str(shots_of(key)): own.settings for key, own in answers.items()}
    outcome = Outcome(outcome_frames, info)
    save_outcome(store, folder, outcome)
    return outcome


def shots_of(key: Key) -> Shots:
    """The K of what an answer is found by."""
    return key[0] if isinstance(key, tuple) else key


def frames(name: str, seed: int, answers: dict[Key, Answers]) -> dict[str, pl.DataFrame]:
    """What a method did, by the name of the file: K after K, and several answers at one K in their order."""
    head = ("name", "shots", "seed")

    def place(key: Key) -> tuple[bool, Shots]:
        return isinstance(shots_of(key), str), shots_of(key)

    def values(own: Answers) -> pl.DataFrame:
        columns = {"task": np.arange(len(own.users), dtype=np.int32), "user": own.users} | own.values
        return pl.DataFrame(columns)

    parts: dict[str, list[pl.DataFrame]] = {}
    for key in sorted(answers, key=place):
        own = answers[key]
        labels = (pl.lit(own.name or name).alias("name"), pl.lit(str(shots_of(key))).alias("shots"))
        for file, frame in {"predictions": own.rows, "values": values(own), **own.more}.items():
            marked = frame.with_columns(*labels, pl.lit(seed, pl.Int32).alias("seed"))
            parts.setdefault(file, []).append(marked.select(*head, pl.exclude(head)))
    joined = {file: pl.concat(several) for file, several in parts.items()}
    return joined | {"predictions": joined["predictions"].select(ROWS)}


def load_outcome(store: Store, folder: str, name: str) -> Outcome | None:
    """What an earlier run kept of a method, or None.

    Raises:
      StoreError: it is damaged.
    """
    remedy = f"delete {store.where(folder)} to run {name} again."
    info = store.load_json(f"{folder}/info.json", remedy)  # written last
    if info is None:
        return None
    if not isinstance(info, dict) or not all(isinstance(info.get(key), kind) for key, kind in INFO.items()):
        raise StoreError(f"{store.where(folder)}/info.json does not hold {', '.join(INFO)}; {remedy}")
    return Outcome({file: store.load_frame(f"{folder}/{file}.parquet", remedy) for file in info["frames"]}, info)


def save_outcome(store: Store, folder: str, outcome: Outcome) -> None:
    """Keep what a method did."""
    for file, frame in outcome.frames.items():
        store.save_frame(f"{folder}/{file}.parquet", frame)
    store.save(f"{folder}/info.json", json.dumps(outcome.info, indent=1).encode())
