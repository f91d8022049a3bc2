"""Runs methods on held-out tasks, one after another, each one's predictions kept as soon as they exist."""

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from experiments.common import jobs
from experiments.common.workdir import Log, WorkdirError
from metarec_jax.data.table import Ratings
from metarec_jax.eval import metrics
from metarec_jax.eval.compare import Scores
from metarec_jax.eval.grid_search import Shots, tune
from metarec_jax.eval.predict import PredictionError, predict_tasks
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes.base import Recipe, hyperparameters
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import HeldOut, Order, Split
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import loop
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Baseline, Episode, Learner, Params, Tasks


class Protocol(NamedTuple):
    """What is asked of every method."""

    shots: list[Shots]
    query: int
    order: Order


class Trial(NamedTuple):
    """One seed: training ratings and held-out tasks by K."""

    seed: int
    ratings: Ratings
    train: Ratings
    valid: dict[Shots, Episode]
    test: dict[Shots, Episode]
    test_rows: dict[Shots, np.ndarray]  # [T, Q] rows of the ratings table, -1 padding
    protocol: Protocol
    folder: Path
    unseen: float  # share of the training episodes whose items are known by content alone


def make_trial(
    seed: int,
    ratings: Ratings,
    split: Split,
    protocol: Protocol,
    folder: Path,
    *,
    unseen: float = 0.0,
    test: bool = True,
) -> Trial:
    """The tasks of a split at every K; without `test` nothing is made of the test tasks' ratings."""
    width = max((k for k in protocol.shots if isinstance(k, int)), default=0)

    def at(held_out: HeldOut, k: Shots) -> tuple[Episode, np.ndarray]:
        return episodes(ratings, held_out, None if k == "all" else int(k), width=width)

    tested = {k: at(split.test, k) for k in protocol.shots} if test else {}
    return Trial(
        seed=seed,
        ratings=ratings,
        train=ratings.keep_rows(split.train_rows),
        valid={k: at(split.valid, k)[0] for k in protocol.shots},
        test={k: tasks for k, (tasks, _) in tested.items()},
        test_rows={k: split.test.query[kept] for k, (_, kept) in tested.items()},
        protocol=protocol,
        folder=folder,
        unseen=unseen,
    )


class Outcome(NamedTuple):
    """What a method did: predictions by K, and what a person wants to know of how."""

    predictions: pl.DataFrame  # name, shots, seed, task, user, item, rating, prediction
    info: dict[str, Any]  # kind, output, settings by K, seconds


def run_once(
    name: str, kind: str, output: str, folder: Path, work: Callable[[], tuple[pl.DataFrame, dict[str, Any]]]
) -> Outcome:
    """`work()` -> (predictions, settings by K), or what an earlier run of it left behind in the folder."""
    frame_path, info_path = folder / "predictions.parquet", folder / "info.json"
    if info_path.exists():  # written last
        try:
            return Outcome(pl.read_parquet(frame_path), json.loads(info_path.read_text()))
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise WorkdirError(f"{folder} is damaged; delete it to run {name} again.") from error
    begun = time.perf_counter()
    try:
        frame, settings = work()
    except (loop.TrainingError, PredictionError):
        shutil.rmtree(folder, ignore_errors=True)  # nothing worth resuming
        raise
    info = {"kind": kind, "output": output, "settings": settings, "seconds": time.perf_counter() - begun}
    write_atomic(frame_path, parquet(frame))
    write_atomic(info_path, json.dumps(info, indent=1).encode())
    return Outcome(frame, info)


def parquet(frame: pl.DataFrame) -> bytes:
    """A frame as the content of a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _frames(name: str, trial: Trial, predictions: dict[Shots, np.ndarray]) -> pl.DataFrame:
    return pl.concat([_frame(name, k, trial, predictions[k]) for k in trial.protocol.shots])


def _frame(name: str, k: Shots, trial: Trial, predictions: np.ndarray) -> pl.DataFrame:
    rows, ratings = trial.test_rows[k], trial.ratings
    real, (owner, other) = rows >= 0, ratings.roles
    users, items = ratings.user[rows[real]], ratings.item[rows[real]]
    return pl.DataFrame(
        {
            "name": pl.Series([name]).extend_constant(name, len(users) - 1),
            "shots": pl.Series([str(k)]).extend_constant(str(k), len(users) - 1),
            "seed": np.full(len(users), trial.seed, np.int32),
            "task": np.nonzero(real)[0].astype(np.int32),
            owner: ratings.user_ids[users],
            other: ratings.item_ids[items],
            "rating": ratings.rating[rows[real]],
            "prediction": predictions[real],
        }
    )


def run_baseline(name: str, baseline: Baseline, grid: list[dict[str, Any]], trial: Trial) -> Outcome:
    """Tune a classical method on the validation tasks for each K and predict the test tasks."""

    def work() -> tuple[pl.DataFrame, dict[str, Any]]:
        predictions, settings = {}, {}
        for tuned in tune(name, baseline, grid, trial.train, trial.valid):
            for k in tuned.shots:
                predictions[k] = _predict(name, baseline, tuned.params, trial, k)
                settings[str(k)] = tuned.settings
        return _frames(name, trial, predictions), settings

    return run_once(name, "baseline", baseline.output, trial.folder / name, work)


def _predict(name: str, method, params: Params, trial: Trial, k: Shots) -> np.ndarray:
    users = trial.ratings.user_ids[trial.ratings.user[trial.test_rows[k][:, 0]]]
    return predict_tasks(name, method, params, trial.test[k], users)


def run_learner(
    name: str, recipe: Recipe, changes: dict[str, str], trial: Trial, log: Log, sharding: Sharding
) -> Outcome:
    """Meta-train with early stopping on validation tasks, going on from a checkpoint, and predict the test tasks."""

    def work() -> tuple[pl.DataFrame, dict[str, Any]]:
        found = train_learner(name, recipe, changes, trial, log, sharding)
        predictions = {k: _predict(name, found.method, found.params, trial, k) for k in trial.protocol.shots}
        return _frames(name, trial, predictions), {str(k): found.settings for k in trial.protocol.shots}

    return run_once(name, recipe.kind, "rating", trial.folder / name, work)


class Trained(NamedTuple):
    """A method that is ready to adapt: a learner after meta-training, a baseline after its fit."""

    method: Learner | Baseline
    params: Params
    settings: dict[str, Any]


def train_learner(
    name: str, recipe: Recipe, changes: dict[str, str], trial: Trial, log: Log, sharding: Sharding
) -> Trained:
    """Meta-train with early stopping on the validation tasks, going on from a checkpoint."""
    own, outer = hyperparameters(recipe, changes, name)
    built = recipe.build(trial.train, **own)
    tasks = user_tasks(trial)
    programs = jobs.make_programs(built, outer, tasks.sample, sharding)
    job = jobs.make_job(name, built, outer, trial.seed, tasks, trial.valid, programs)
    params = jobs.train(name, job, trial.seed, trial.folder / name, log)
    return Trained(built.method, params, own | vars(outer))


def user_tasks(trial: Trial) -> Tasks:
    """The training tasks of a trial."""
    return training_tasks(
        trial.train,
        support=max((k for k in trial.protocol.shots if k != "all"), default=20) or 1,
        query=trial.protocol.query,
        order=trial.protocol.order,
        unseen=trial.unseen,
    )


def scores(name: str, outcomes: list[Outcome], trials: list[Trial], relevant: float) -> list[Scores]:
    """One method's metrics at every K, its seeds side by side."""
    found = []
    for k in trials[0].protocol.shots:
        parts = [_values(outcome, trial, k, relevant) for outcome, trial in zip(outcomes, trials, strict=True)]
        users = [trial.ratings.user_ids[trial.ratings.user[trial.test_rows[k][:, 0]]] for trial in trials]
        seeds = [np.full(len(ids), trial.seed) for ids, trial in zip(users, trials, strict=True)]
        values = {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}
        found.append(Scores(name, outcomes[0].info["kind"], k, np.concatenate(users), np.concatenate(seeds), values))
    return found


def _values(outcome: Outcome, trial: Trial, k: Shots, relevant: float) -> dict[str, np.ndarray]:
    query = trial.test[k].query
    predictions = np.zeros(query.mask.shape, np.float32)
    predictions[query.mask > 0] = outcome.predictions.filter(pl.col("shots") == str(k))["prediction"].to_numpy()
    values = metrics.per_task(predictions, query.y, query.mask, relevant)
    if outcome.info["output"] == "score":  # its units mean nothing
        values |= {metric: np.full(len(predictions), np.nan) for metric in ("rmse", "mae")}
    return values
