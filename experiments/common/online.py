"""Runs methods online: every rating of a held-out user is predicted before it is revealed, in the order of time."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from experiments.common import runner
from experiments.common.runner import Outcome, Protocol, run_once
from experiments.common.workdir import Log
from metarec_jax.data.table import Ratings
from metarec_jax.eval.compare import Scores
from metarec_jax.eval.grid_search import tune
from metarec_jax.eval.online import Replay, again, errors_by_bin, follow, replayed
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes.base import Recipe
from metarec_jax.tasks.histories import histories
from metarec_jax.tasks.splits import HeldOut, Split
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Baseline, Examples, Learner, Params

SHARES = (1.0, 0.999, 0.997, 0.99, 0.97)  # of what was learnt, kept from one rating to the next


class Users(NamedTuple):
    """Held-out users."""

    tasks: Examples  # leading [T, L]
    names: np.ndarray  # [T] raw ids


class Trial(NamedTuple):
    """One seed: what learners are trained on, and held-out users' ratings in time order."""

    seed: int
    training: runner.Trial
    valid: Users
    test: Users
    starts: list[int]  # of the bins of positions
    folder: Path


def make_trial(
    seed: int, ratings: Ratings, split: Split, protocol: Protocol, positions: int, starts: list[int], folder: Path
) -> Trial:
    """The histories of a split's users, `positions` ratings each at most."""

    def users(part: HeldOut) -> Users:
        return Users(jax.tree.map(jnp.asarray, histories(ratings, part, positions)), ratings.user_ids[part.users])

    training = runner.make_trial(seed, ratings, split, protocol, folder, test=False)
    return Trial(seed, training, users(split.valid), users(split.test), starts, folder)


def ways(method: Learner | Baseline) -> dict[str, Replay]:
    """The ways in which a method can take a rating in, by what a person would call them."""
    if method.update is None:
        return {"again": again}
    if method.forget is None:  # its update is not the batch solution, so that this one is another method
        return {"again": again, "update": follow}
    return {f"share {share:g}": partial(follow, share=share) for share in SHARES}


def choose(method: Learner | Baseline, params: Params, users: Users) -> tuple[str, Replay, float]:
    """The way with the lowest mean squared error on these users, and that error."""
    found = [
        (_error(np.asarray(replayed(replay, method, params, users.tasks)), users), name, replay)
        for name, replay in ways(method).items()
    ]
    error, name, replay = min(found, key=lambda row: row[0])
    return name, replay, error


def _error(predictions: np.ndarray, users: Users) -> float:
    """Mean over the users of their mean squared error; infinite where a prediction is not a finite number."""
    error = float(np.mean(errors_by_bin(predictions, users.tasks, [0])["all"]))
    return error if np.isfinite(error) else float("inf")


def run_baseline(name: str, baseline: Baseline, grid: list[dict[str, Any]], trial: Trial) -> Outcome:
    """Tune a classical method, and the way it takes ratings in, on the validation users and follow the test users."""

    def badness(name: str, baseline: Baseline, params: Params, users: Users) -> float:
        return choose(baseline, params, users)[2]

    def work() -> tuple[pl.DataFrame, dict[str, Any]]:
        (tuned,) = tune(name, baseline, grid, trial.training.train, {"all": trial.valid}, badness)
        return _followed(name, baseline, tuned.params, tuned.settings, trial)

    return run_once(name, "baseline", baseline.output, trial.folder / name, work)


def run_learner(
    name: str, recipe: Recipe, changes: dict[str, str], trial: Trial, log: Log, sharding: Sharding
) -> Outcome:
    """Meta-train, choose the way it takes ratings in on the validation users, and follow the test users."""

    def work() -> tuple[pl.DataFrame, dict[str, Any]]:
        learner, params, settings = runner.train_learner(name, recipe, changes, trial.training, log, sharding)
        return _followed(name, learner, params, settings, trial)

    return run_once(name, recipe.kind, "rating", trial.folder / name, work)


def _followed(
    name: str, method: Learner | Baseline, params: Params, settings: dict[str, Any], trial: Trial
) -> tuple[pl.DataFrame, dict[str, Any]]:
    way, replay, _ = choose(method, params, trial.valid)
    users = trial.test
    predictions, real = np.asarray(replayed(replay, method, params, users.tasks)), np.asarray(users.tasks.mask) > 0
    broken = (~np.isfinite(predictions) & real).any(1)
    if broken.any():
        raise PredictionError(f"{name} predicts no number for user {users.names[np.argmax(broken)]}; see its settings.")
    task, position = np.nonzero(real)
    frame = pl.DataFrame(
        {
            "name": pl.Series([name]).extend_constant(name, len(task) - 1),
            "seed": np.full(len(task), trial.seed, np.int32),
            "user": users.names[task],
            "position": position.astype(np.int32),
            "rating": np.asarray(users.tasks.y)[real],
            "prediction": predictions[real],
        }
    )
    return frame, {str(shots): settings | {"adaptation": way} for shots in [*trial.starts, "all"]}


def scores(name: str, outcomes: list[Outcome], trials: list[Trial], relevant: float) -> list[Scores]:
    """One method's error by position, its seeds side by side; a user counts where he has ratings."""
    del relevant  # there is no ranking of single ratings
    parts = [_errors(outcome, trial) for outcome, trial in zip(outcomes, trials, strict=True)]
    users = np.concatenate([trial.test.names for trial in trials])
    seeds = np.concatenate([np.full(len(trial.test.names), trial.seed) for trial in trials])
    found = []
    for shots in parts[0]:
        errors = np.concatenate([part[shots] for part in parts])
        known = np.isfinite(errors)
        kind = outcomes[0].info["kind"]
        found.append(Scores(name, kind, shots, users[known], seeds[known], {"rmse": errors[known]}))
    return found


def _errors(outcome: Outcome, trial: Trial) -> dict[int | str, np.ndarray]:
    real = np.asarray(trial.test.tasks.mask) > 0
    predictions = np.zeros(real.shape, np.float32)
    predictions[real] = outcome.predictions["prediction"].to_numpy()
    return errors_by_bin(predictions, trial.test.tasks, trial.starts)
