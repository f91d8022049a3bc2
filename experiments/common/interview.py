"""Interviews with held-out users: who can answer what, what is asked in which order, and the errors that follow."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from experiments.common.runner import Trained, Trial
from metarec_jax.data.table import Ratings
from metarec_jax.eval.predict import squared_errors
from metarec_jax.priors.gp import fitted_gp, fitted_noise
from metarec_jax.serve.interview import (
    Design,
    Interview,
    all_known,
    by_score,
    by_variance,
    evidence_score,
    fit_habits,
    personal_gradient,
    target_matrix,
)
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import HeldOut, held_out
from metarec_jax.types import Array, Episode, Examples, Inputs

WAYS = ("variance", "melu", "popular", "random")  # ours first
PROCESS = {"rank": 32, "shrink": 50.0, "reg_population": 60.0, "reg_by_group": False}  # as ridge and alpaca start
HABITS = 16  # axes of who knows what; of 4, 16 and 32, by the same error
SUPPORT = 20  # ratings of a training user that MeLU's gradient is taken of


class Users(NamedTuple):
    """Held-out users and what they know."""

    names: np.ndarray  # [T] raw ids
    context: np.ndarray  # [T, G]
    ratings: np.ndarray  # [T, I] what they would answer, 0 where nothing
    known: np.ndarray  # [T, I] 1 where there is an answer
    askable: np.ndarray  # [T, I] 1 where they may be asked
    query: Examples  # leading [T]: what is predicted


def held_out_users(ratings: Ratings, part: HeldOut, any_item: bool) -> Users:
    """The users of a part of the split, who may be asked about `any_item` outside their query or those they know."""
    size = (len(part.users), ratings.num_items)
    given, known, sought = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    task, place = np.nonzero(part.support >= 0)
    rows = part.support[task, place]
    given[task, ratings.item[rows]], known[task, ratings.item[rows]] = ratings.rating[rows], 1.0
    task, place = np.nonzero(part.query >= 0)
    sought[task, ratings.item[part.query[task, place]]] = 1.0
    tasks, _ = episodes(ratings, part, 0)
    context = ratings.user_features.values[part.users]
    return Users(ratings.user_ids[part.users], context, given, known, 1.0 - sought if any_item else known, tasks.query)


def choose(trial: Trial, users: Users, melu: Trained, questions: int) -> dict[str, Interview]:
    """What each user is asked, by way of choosing; leading [T].

    Raises:
      ValueError: MeLU takes more than one inner step, so that its score is not defined by its gradient.
    """
    if melu.settings["inner_steps"] != 1:
        raise ValueError("--set=melu.inner_steps: MeLU's score is of its one inner gradient; leave it at 1.")
    train = trial.train
    raters = np.bincount(train.item, minlength=train.num_items).astype(np.float32)
    lottery = np.random.default_rng(trial.seed).random(users.known.shape, np.float32)
    shared = {"melu": evidence_score(train, gradients(train, melu)), "popular": raters}
    scores = {name: np.broadcast_to(score.astype(np.float32), lottery.shape) for name, score in shared.items()}
    found = {way: _by_score(score, users.askable, users.known, questions) for way, score in scores.items()}
    found["random"] = _by_score(lottery, users.askable, users.known, questions)
    found["variance"] = _by_variance(design(train, users), users.askable, users.known, questions)
    return {way: jax.tree.map(np.asarray, found[way]) for way in WAYS}


@partial(jax.jit, static_argnums=3)
def _by_score(scores: Array, askable: Array, known: Array, questions: int) -> Interview:
    return jax.vmap(partial(by_score, questions=questions))(scores, askable, known)


@partial(jax.jit, static_argnums=3)
def _by_variance(design: Design, askable: Array, known: Array, questions: int) -> Interview:
    def one_user(user: tuple[Array, Array]) -> Interview:
        return by_variance(design, *user, questions)

    return jax.lax.map(one_user, (askable, known), batch_size=min(16, len(known)))


def design(train: Ratings, users: Users) -> Design:
    """What is reckoned with: a Gaussian process fitted to the training users, and what they know.

    All items of the catalogue weigh the same, and an item's noise is its own: of the weights raters^0, raters^0.5 and
    raters^1, each with the noise of all and its own, this was best on the validation users of MovieLens-100K and -1M
    over both sets of items that may be asked about (error of a Gaussian process after five questions, summed).
    """
    fitted = fitted_gp(train, **PROCESS)
    phi, noise = fitted["phi"], fitted["noise"] * jnp.asarray(fitted_noise(train, **PROCESS))
    habits = all_known(len(phi)) if users.askable is users.known else fit_habits(train, HABITS)
    return Design(phi, noise, target_matrix(phi, jnp.ones(len(phi)) / len(phi)), habits)


def gradients(train: Ratings, melu: Trained) -> np.ndarray:
    """[U] `personal_gradient` of every training user, from at most `SUPPORT` ratings."""
    everybody = held_out(train, np.ones(train.num_users, bool), seed=0, query=0, order="random")
    everybody = everybody._replace(support=everybody.support[:, :SUPPORT])
    return np.asarray(_gradients(melu.method, melu.params, episodes(train, everybody, None)[0].support))


@partial(jax.jit, static_argnums=0)
def _gradients(learner, params, supports: Examples) -> Array:
    return jax.lax.map(partial(personal_gradient, learner, params), supports, batch_size=min(64, len(supports.y)))


def choice_frame(trial: Trial, ratings: Ratings, chosen: dict[str, Interview]) -> pl.DataFrame:
    """One row a way, task and question: the item, and whether it was answered."""
    shape = np.shape(next(iter(chosen.values())).items)
    task, place = np.indices(shape).reshape(2, -1)
    frames = [
        {
            "way": np.repeat([way], len(task)),
            "seed": np.full(len(task), trial.seed, np.int32),
            "task": task.astype(np.int32),
            "place": place.astype(np.int32),
            "item": ratings.item_ids[np.ravel(asked.items)],
            "index": np.ravel(asked.items),
            "answered": np.ravel(asked.answered),
        }
        for way, asked in chosen.items()
    ]
    return pl.concat([pl.DataFrame(frame) for frame in frames])


def errors(name: str, trial: Trial, users: Users, found: Trained, asked: pl.DataFrame) -> pl.DataFrame:
    """One row a way, number of questions and task: the mean squared error of the query after the answers so far."""
    frames = []
    for way in WAYS:
        own = asked.filter(pl.col("way") == way)
        items, answered = (own[column].to_numpy().reshape(len(users.names), -1) for column in ("index", "answered"))
        for count in range(items.shape[1] + 1):
            given = answered * (np.arange(items.shape[1]) < count)
            tasks = Episode(answers(trial.ratings, users, items, given.astype(np.float32)), users.query)
            columns = {
                "name": np.repeat([name], len(items)),
                "way": np.repeat([way], len(items)),
                "questions": np.full(len(items), count, np.int32),
                "seed": np.full(len(items), trial.seed, np.int32),
                "user": users.names,
                "error": np.asarray(squared_errors(found.method, found.params, tasks)),
            }
            frames.append(pl.DataFrame(columns))
    return pl.concat(frames)


def answers(ratings: Ratings, users: Users, items: np.ndarray, mask: np.ndarray) -> Examples:
    """The users' ratings of the items [T, Q] as a support."""
    context = np.broadcast_to(users.context[:, None], (*items.shape, users.context.shape[1]))
    x = Inputs(items, ratings.item_features.values[items], context)
    return Examples(x, np.take_along_axis(users.ratings, items.astype(np.int64), 1), mask)


def often_asked(ratings: Ratings, asked: pl.DataFrame, number: int = 10) -> dict[str, list[dict[str, Any]]]:
    """By way of choosing: the items most often asked about, the shares of users who are, and of these who answer."""
    users = asked.select("seed", "task").n_unique()
    found = {}
    for way in WAYS:
        own = asked.filter(pl.col("way") == way).group_by("index").agg(pl.len(), pl.col("answered").mean())
        top = own.sort(["len", "index"], descending=[True, False])[:number]
        found[way] = [
            {"title": str(ratings.item_titles[index]), "asked": count / users, "answered": answered}
            for index, count, answered in top.iter_rows()
        ]
    return found
