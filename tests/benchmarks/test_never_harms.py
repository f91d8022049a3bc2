"""Learners that start from a fit are not worse than their start, however few users they are trained on."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from helpers import slow_but

from metarec_jax.benchmarks import user_cold_start
from metarec_jax.benchmarks.fitting import harmed, ready
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.eval.predict import mean_squared_errors
from metarec_jax.priors.folds import user_folds
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import hyperparameters
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train.fit import fit
from metarec_jax.train.store import Store

SHOTS = (3, 10)


@functools.cache
def few_users(number: int):
    """A fold of a world with a taste of many dimensions and much noise, whose training users are the first ones."""
    world = make_world(2, users=900, items=120, ratings_per_user=30, dims=6, noise=1.0, user_bias=0.5).ratings
    fold = user_cold_start(shots=SHOTS).folds(world, 0, Store())[0]
    train = fold.tables["train"]
    train = train.keep_rows(np.flatnonzero(train.user < number))

    def tasks(table, folds=False):
        return training_tasks(train, support=10, query=10, folds=user_folds(train) if folds else None)

    return dataclasses.replace(fold, tables={"train": train, "all": world}, tasks=tasks)


def errors(fold, method, params) -> np.ndarray:
    """[K, T] of validation and test users, none of whom is trained on or chosen by here."""
    held_out = [[fold.held_out(part)[k] for part in ("valid", "test")] for k in SHOTS]
    return np.stack([np.concatenate([mean_squared_errors(method, params, h.tasks) for h in both]) for both in held_out])


def trained(fold, built, config):
    todo = ready(built, fold, "train")
    config = config.bounded(fold.tables["train"].num_users)
    ended = fit(todo.learner, todo.tasks, config, key=jax.random.key(0), params=todo.params, rates=todo.rates)
    return todo.whole(ended.params)


@pytest.mark.parametrize("name", slow_but(["protonet", "maml"], ["protonet", "maml", "ridge", "attentive_ridge"]))
@pytest.mark.parametrize("users", slow_but([40], [40, 160]))
def test_it_does_not_end_above_its_start(name, users):
    fold = few_users(users)
    own, config = hyperparameters(RECIPES[name], {"rank": 8})
    built = RECIPES[name].build(fold.tables["train"], **own)
    start, end = (errors(fold, built.method, params) for params in (built.params, trained(fold, built, config)))
    rise = np.sqrt(end.mean(1)) - np.sqrt(start.mean(1))
    assert (rise < 0.003).all(), rise


@pytest.mark.slow
def test_without_cross_fitting_it_does():
    """The same training on starts that have seen the users whom it is trained on."""
    fold = few_users(40)
    own, config = hyperparameters(RECIPES["ridge"], {"rank": 8})
    built = RECIPES["ridge"].build(fold.tables["train"], **own)
    seen = built._replace(start=built.start._replace(apart=lambda: [built.params] * 5))
    honest, flattered = (errors(fold, built.method, trained(fold, each, config)) for each in (built, seen))
    assert (np.sqrt(flattered.mean(1)) > np.sqrt(honest.mean(1)) + 0.01).all()


def test_a_learner_that_is_clearly_worse_than_its_start_is_left_for_it():
    """By more than a standard error over the validation users; a learner that is better, or as good, is kept."""
    benchmark, fold = user_cold_start(shots=SHOTS), few_users(40)
    built = RECIPES["ridge"].build(fold.tables["train"], rank=8)
    valid = fold.held_out("valid")

    def with_noise(by):
        learner = built.params | {"log_noise": built.params["log_noise"] + by}
        return harmed(benchmark, "ridge", built, learner, valid)

    assert with_noise(6.0)
    assert not with_noise(1e-6)
    assert with_noise(np.nan)  # predicts no number
