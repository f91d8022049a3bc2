"""Runs methods on ranking tasks with a whole catalogue as candidates, one after another, each one's values kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from experiments.common import jobs
from experiments.common.runner import Outcome, run_once
from experiments.common.workdir import Log
from metarec_jax.data.table import Ratings
from metarec_jax.eval.compare import Scores
from metarec_jax.eval.grid_search import tune
from metarec_jax.eval.predict import PredictionError
from metarec_jax.eval.ranking import Values, rank_catalogue
from metarec_jax.eval.ranking_metrics import METRICS
from metarec_jax.recipes.base import Built, Recipe, hyperparameters
from metarec_jax.tasks.catalogue import ImplicitUser, held_out_implicit_users, rated_by, training_catalogue
from metarec_jax.tasks.splits import Split
from metarec_jax.train.config import Config
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Array, Baseline, Learner, Params


class Users(NamedTuple):
    """Held-out users at one K."""

    tasks: ImplicitUser  # leading [T]
    names: np.ndarray  # [T] raw ids


class Trial(NamedTuple):
    """One seed: training rows and held-out users by K."""

    seed: int
    train: Ratings
    rated: Ratings  # whatever those who are in `train` rated
    content: Array  # [I, F] of all items
    valid: dict[int, Users]
    test: dict[int, Users]
    folder: Path


def make_trial(seed: int, ratings: Ratings, liked: Ratings, split: Split, shots: list[int], folder: Path) -> Trial:
    """The tasks of a split of `liked`, what `tasks.catalogue.liked_only` leaves of all ratings, at every K."""

    def users(part) -> dict[int, Users]:
        names = liked.user_ids[part.users]
        return {k: Users(jax.tree.map(jnp.asarray, held_out_implicit_users(liked, part, k)), names) for k in shots}

    train, content = liked.keep_rows(split.train_rows), jnp.asarray(liked.item_features.values)
    return Trial(seed, train, rated_by(ratings, train), content, users(split.valid), users(split.test), folder)


def run_baseline(name: str, baseline: Baseline, grid: list[dict[str, Any]], trial: Trial) -> Outcome:
    """Tune a classical method on the validation users for each K and rank for the test users."""

    def badness(name: str, baseline: Baseline, params: Params, users: Users) -> float:
        try:
            return -mean_ndcg(name, baseline, params, trial.content, users)
        except PredictionError:
            return float("inf")

    def work() -> tuple[pl.DataFrame, dict[str, Any]]:
        frames, settings = {}, {}
        for tuned in tune(name, baseline, grid, trial.train, trial.valid, badness):
            for k in tuned.shots:
                frames[k] = _frame(name, k, trial, ranked(name, baseline, tuned.params, trial.content, trial.test[k]))
                settings[str(k)] = tuned.settings
        return pl.concat([frames[k] for k in trial.test]), settings

    return run_once(name, "baseline", baseline.output, trial.folder / name, work)


def run_learner(
    name: str, recipe: Recipe, changes: dict[str, str], trial: Trial, log: Log, sharding: Sharding
) -> Outcome:
    """Meta-train on what was rated and then on what was liked, going on from a checkpoint, and rank for test users."""

    def work() -> tuple[pl.DataFrame, dict[str, Any]]:
        own, outer = hyperparameters(recipe, changes, name)
        first, then = outer.parts()
        earlier = None
        if first:
            built = recipe.build(trial.rated, first, None, **own)
            earlier = _train(name, built, replace(outer, steps=first), trial, log, sharding, liked=False)
        built = recipe.build(trial.train, then, earlier, **own)
        params = _train(name, built, replace(outer, steps=then), trial, log, sharding, liked=True)
        frames = [
            _frame(name, k, trial, ranked(name, built.method, params, trial.content, users))
            for k, users in trial.test.items()
        ]
        return pl.concat(frames), {str(k): own | vars(outer) for k in trial.test}

    return run_once(name, recipe.kind, "score", trial.folder / name, work)


def _train(
    name: str, built: Built, outer: Config, trial: Trial, log: Log, sharding: Sharding, *, liked: bool
) -> Params:
    """Meta-train on what was liked, for the parameters that are best on the validation users; or on whatever was
    rated, for the last ones, as the validation users ask about something else."""
    tasks = training_catalogue(trial.train if liked else trial.rated, support=max(trial.test) or 1)

    def validate(params: Params) -> float:
        every = trial.valid.values()
        return -float(np.mean([mean_ndcg(name, built.method, params, trial.content, users) for users in every]))

    programs = jobs.make_programs(built, outer, tasks.sample, sharding)
    label, folder = (name, trial.folder / name) if liked else (f"rated, {name}", trial.folder / name / "rated")
    job = jobs.job_on(label, built, outer, trial.seed, tasks, validate, programs, METRICS[0])
    return jobs.train(label, job._replace(last=not liked), trial.seed, folder, log)


def ranked(name: str, method: Learner | Baseline, params: Params, content: Array, users: Users) -> Values:
    """The metrics of each of the users."""
    return rank_catalogue(name, method, params, content, users.tasks, users.names)


def mean_ndcg(name: str, method: Learner | Baseline, params: Params, content: Array, users: Users) -> float:
    """What methods are chosen by: the mean nDCG@10 of the users, the first metric."""
    return float(np.mean(ranked(name, method, params, content, users)[METRICS[0]]))


def _frame(name: str, k: int, trial: Trial, values: Values) -> pl.DataFrame:
    users = trial.test[k].names
    columns = {
        "name": np.repeat([name], len(users)),
        "shots": np.full(len(users), k, np.int32),
        "seed": np.full(len(users), trial.seed, np.int32),
        "task": users,
    }
    return pl.DataFrame(columns | {metric: values[metric] for metric in METRICS})


def scores(name: str, outcomes: list[Outcome], shots: list[int]) -> list[Scores]:
    """One method's metrics at every K, its seeds side by side."""
    frame, kind = pl.concat([outcome.predictions for outcome in outcomes]), outcomes[0].info["kind"]

    def at(k: int) -> Scores:
        rows = frame.filter(pl.col("shots") == k)
        values = {metric: rows[metric].to_numpy() for metric in METRICS}
        return Scores(name, kind, k, rows["task"].to_numpy(), rows["seed"].to_numpy(), values)

    return [at(k) for k in shots]
