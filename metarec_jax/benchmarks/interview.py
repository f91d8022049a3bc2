"""The benchmark of interviews: errors of learners after 0, 1, ... questions to a new user, by how these are chosen.

A held-out user is asked about one item after another; an answer exists if it is among the user's ratings and not in the
query, whose items nobody is asked about. The same answers go to every learner. Before these are measured MeLU is
trained on the fold, whose score is one of the ways to choose, and all questions are kept in the store.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Key, Trained
from metarec_jax.benchmarks.ratings import METRICS, measure, predicted, rating_fold
from metarec_jax.benchmarks.result import Measured, PageResult, compose
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals
from metarec_jax.eval.grid_search import Shots
from metarec_jax.recipes import RECIPES
from metarec_jax.report import interview as report
from metarec_jax.serve.interview import (
    Interview,
    all_by_score,
    all_by_variance,
    evidence_score,
    fit_design,
    personal_gradients,
)
from metarec_jax.tasks import splits
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import Split, split_users
from metarec_jax.tasks.user_episodes import Order
from metarec_jax.train.store import Store
from metarec_jax.types import Episode, Examples, Inputs

WAYS = ("variance", "melu", "popular", "random")  # to choose questions; the first is compared with the others
QUESTIONS = "questions.parquet"  # seed, way, task, user, place, item, index (of the item), answered
LEARNERS = {name: recipe for name, recipe in RECIPES.items() if recipe.kind == "learner"}


class InterviewResult(PageResult):
    """The results of interviews."""

    page = report


class Users(NamedTuple):
    """Held-out users and what they know."""

    names: np.ndarray  # [T] raw ids
    context: np.ndarray  # [T, G]
    ratings: np.ndarray  # [T, I] what they would answer, 0 where nothing
    known: np.ndarray  # [T, I] 1 where there is an answer
    askable: np.ndarray  # [T, I] 1 where they may be asked
    query: Examples  # leading [T]: what is predicted


def interview(
    questions: int = 10,
    *,
    ask: Literal["known", "any"] = "known",
    part: Literal["test", "valid"] = "test",
    shots: Sequence[Shots] = (0, 1, 3, 5, 10),
    query: int = 10,
    order: Order = "random",
    split: Callable[[Ratings, int], Split] | None = None,
    **bounds: Any,
) -> Benchmark:
    """Held-out users answer questions that are chosen by their expected reduction of variance, by MeLU's score, by
    popularity, or at random. K is the number of questions.

    Args:
      questions: to a user, at most.
      ask: about "known" items, so that every question is answered, or about "any" outside the query.
      part: the held-out users that are asked.
      shots, query, order: of meta-training and its early stopping.
      split, **bounds: as of `ratings.user_cold_start`.
    """
    own = split or (lambda ratings, seed: split_users(ratings, seed=seed, query=query, order=order, **bounds))

    def folds(ratings: Ratings, seed: int, store: Store) -> list[Fold]:
        users_split = own(ratings, seed)
        training = rating_fold(ratings, users_split, seed, shots, query, order, 0.0)
        return [
            interview_fold(training, users_split.test if part == "test" else users_split.valid, store, questions, ask)
        ]

    def answer(name: str, trained: Trained, fold: Fold, keys: list[Key]) -> dict[Key, Answers]:
        ratings, tasks = fold.tables["all"], fold.held_out("test")
        answers = {key: predicted(name, trained, ratings, tasks[key], METRICS[:1]) for key in keys}
        return {key: predictions._replace(name=f"{name}, {key[1]}") for key, predictions in answers.items()}

    def result(measured: Measured) -> InterviewResult:
        folds = [fold for of_seed in measured.folds.values() for fold in of_seed]
        asked, values = pl.concat([load_questions(measured.store, fold) for fold in folds]), measured.frames()["values"]
        measured.store.save_frame(QUESTIONS, asked)
        content = compose(measured).content
        return InterviewResult(
            content
            | {
                "asked": f"{part} users, {ask} items",
                "rows": [row | compared(row, values, asked) for row in content["rows"]],
                "questions": often_asked(measured.data, asked),
            }
        )

    default, helpers = ("ridge", "alpaca"), ("melu",)
    return Benchmark(
        "interview", folds, measure, answer, METRICS[:1], LEARNERS, default, helpers=helpers, result=result
    )


def interview_fold(training: Fold, part: splits.HeldOut, store: Store, questions: int, ask: str) -> Fold:
    """The fold that learners are trained on, whose test tasks are the users of `part` after their answers, by number of
    questions and way to choose these."""
    ratings = training.tables["all"]

    @functools.cache
    def users() -> Users:
        return held_out_users(ratings, part, ask == "any")

    def prepare(trained: Callable[[str], Trained]) -> None:
        name = f"{training.folder}/{QUESTIONS}"
        if store.load(name) is None:
            chosen = choose(training, users(), trained("melu"), questions)
            store.save_frame(name, question_frame(training, users(), chosen))

    @functools.cache
    def asked() -> dict[Key, HeldOut]:
        return after_answers(ratings, users(), load_questions(store, training))

    def held_out(which: str) -> Mapping[Key, HeldOut]:
        return training.held_out("valid") if which == "valid" else asked()

    def check() -> None:
        training.held_out("valid")

    return dataclasses.replace(training, held_out=held_out, check=check, prepare=prepare)


def load_questions(store: Store, fold: Fold) -> pl.DataFrame:
    """What the users of a fold are asked."""
    return store.load_frame(f"{fold.folder}/{QUESTIONS}", "delete it to choose the questions again.")


def held_out_users(ratings: Ratings, part: splits.HeldOut, any_item: bool) -> Users:
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


def choose(fold: Fold, users: Users, melu: Trained, questions: int) -> dict[str, Interview]:
    """What each user is asked, by way to choose; leading [T].

    Raises:
      ValueError: MeLU takes more than one inner step, so that its score is not defined by its gradient.
    """
    if melu.settings["inner_steps"] != 1:
        raise ValueError("melu.inner_steps: MeLU's score is of its one inner gradient; leave it at 1.")
    train = fold.tables["train"]
    raters = np.bincount(train.item, minlength=train.num_items).astype(np.float32)
    lottery = np.random.default_rng(fold.seed).random(users.known.shape, np.float32)
    gradients = personal_gradients(train, melu.method, melu.params)
    shared = {"melu": evidence_score(train, gradients), "popular": raters}
    scores = {name: np.broadcast_to(score.astype(np.float32), lottery.shape) for name, score in shared.items()}
    asked = users.askable, users.known, questions
    asked_by_way = {way: all_by_score(score, *asked) for way, score in (scores | {"random": lottery}).items()}
    asked_by_way["variance"] = all_by_variance(fit_design(train, all_answered=users.askable is users.known), *asked)
    return {way: jax.tree.map(np.asarray, asked_by_way[way]) for way in WAYS}


def question_frame(fold: Fold, users: Users, chosen: dict[str, Interview]) -> pl.DataFrame:
    """One row a way, task and question: the item, and whether it was answered."""
    task, place = np.indices(next(iter(chosen.values())).items.shape).reshape(2, -1)
    frames = [
        {
            "seed": np.full(len(task), fold.seed, np.int32),
            "way": np.repeat([way], len(task)),
            "task": task.astype(np.int32),
            "user": users.names[task],
            "place": place.astype(np.int32),
            "item": fold.tables["all"].item_ids[np.ravel(asked.items)],
            "index": np.ravel(asked.items),
            "answered": np.ravel(asked.answered),
        }
        for way, asked in chosen.items()
    ]
    return pl.concat([pl.DataFrame(frame) for frame in frames])


def after_answers(ratings: Ratings, users: Users, asked: pl.DataFrame) -> dict[Key, HeldOut]:
    """(Number of questions, way to choose them) -> the users with the answers so far as their support."""
    supports = {}
    for way in WAYS:
        own = asked.filter(pl.col("way") == way)
        items, answered = (own[column].to_numpy().reshape(len(users.names), -1) for column in ("index", "answered"))
        supports[way] = answers(ratings, users, items, answered)
    place = np.arange(asked["place"].n_unique())
    return {
        (count, way): HeldOut(Episode(support._replace(mask=support.mask * (place < count)), users.query), users.names)
        for count in range(len(place) + 1)
        for way, support in supports.items()
    }


def answers(ratings: Ratings, users: Users, items: np.ndarray, answered: np.ndarray) -> Examples:
    """The users' ratings of the items [T, Q], of which only those that were answered are real."""
    x = Inputs(items, ratings.item_features.values[items], users.context)
    return Examples(x, np.take_along_axis(users.ratings, items.astype(np.int64), 1), answered)


def compared(row: dict[str, Any], values: pl.DataFrame, asked: pl.DataFrame) -> dict[str, Any]:
    """What a row of the results says beside its error: the learner, the way, the mean number of answers, and the
    differences in RMSE from the other ways, paired over users."""
    (learner, own), count = row["name"].rsplit(", ", 1), row["shots"]

    def errors(way: str) -> pl.DataFrame:
        return values.filter(pl.col("name") == f"{learner}, {way}", pl.col("shots") == str(count))

    mine = errors(own)
    error, users = mine["rmse"].to_numpy(), mine["user"].to_numpy()
    given = asked.filter(pl.col("way") == own, pl.col("place") < count)["answered"].sum()
    against = {
        way: intervals.compare(error, errors(way)["rmse"].to_numpy(), users, True)._asdict()
        for way in WAYS
        if way != own
    }
    return {"learner": learner, "way": own, "answers": float(given) / len(mine), "against": against}


def often_asked(ratings: Ratings, asked: pl.DataFrame, number: int = 10) -> dict[str, list[dict[str, Any]]]:
    """By way to choose: the items most often asked about, the fractions of users who are, and of these who answer."""
    users = asked.select("seed", "task").n_unique()
    tops = {}
    for way in WAYS:
        own = asked.filter(pl.col("way") == way).group_by("index").agg(pl.len(), pl.col("answered").mean())
        top = own.sort(["len", "index"], descending=[True, False])[:number]
        tops[way] = [
            {"title": str(ratings.item_titles[index]), "asked": count / users, "answered": answered}
            for index, count, answered in top.iter_rows()
        ]
    return tops
