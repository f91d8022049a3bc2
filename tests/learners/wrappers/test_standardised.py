"""Standard units: predictions follow the unit of the ratings, and a training of another split is the same program."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from helpers import random_table, slow_but
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.benchmarks.ratings import user_cold_start
from metarec_jax.data.table import Ratings
from metarec_jax.params import FIXED, split_fixed
from metarec_jax.recipes import RECIPES, hyperparameters
from metarec_jax.recipes.base import example
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train.fit import train_steps
from metarec_jax.train.loop import start_from
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store
from metarec_jax.types import Episode

TABLE = random_table(5, users=80, items=30, least=8)
SMALL = {"rank": 2, "id_dim": 4, "width": 8, "dim": 4}
UNITS = [(1.0, 0.0), (0.25, -0.25), (5.0, -15.5), (20.0, 0.0)]  # scale r + shift
LEARNERS = [name for name, recipe in RECIPES.items() if recipe.training is not None]


def built(name: str, train: Ratings):
    recipe = RECIPES[name]
    own = hyperparameters(recipe)[0] if recipe.training else recipe.grid[0]
    return recipe.build(train, **own | {key: value for key, value in SMALL.items() if key in own})


@functools.cache
def as_line(scale: float, shift: float) -> Ratings:
    """The same ratings as scale r + shift."""
    return dataclasses.replace(TABLE, rating=np.float32(scale * TABLE.rating + shift))


def in_other_units() -> Ratings:
    return as_line(20.0, -3.0)


def task(table: Ratings) -> Episode:
    tasks = training_tasks(table, support=5, query=4)
    return jax.jit(tasks.sample)(tasks.data, jax.random.key(3))


@pytest.mark.parametrize("name", ["maml", "cavia", "protonet", "relation", "cnp", "ridge", "logistic"])
def test_predictions_and_gradients_follow_the_unit(name):
    found = []
    for table in (TABLE, in_other_units()):
        own, episode = built(name, table), task(table)
        params = own.params or own.method.init(jax.random.key(0), example(table))
        predictions = own.method.predict(own.method.adapt(params, episode.support), episode.query.x)
        learnt, fixed = split_fixed(params)

        def loss(learnt, own=own, fixed=fixed, episode=episode):
            return own.method.loss(learnt | fixed, episode, jax.random.key(1))[0]

        found.append((predictions, jax.tree.leaves(jax.grad(loss)(learnt))))
    (plain, slopes), (other, same) = found
    np.testing.assert_allclose(other, 20.0 * plain - 3.0, rtol=2e-4)
    for slope, wanted in zip(same, slopes, strict=True):
        np.testing.assert_allclose(slope, wanted, atol=2e-4 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("name", [*RECIPES])
def test_every_method_starts_alike_in_any_unit(name):
    """Learners before their training, whose losses the test above looks at, and baselines fitted."""
    found = []
    for scale, shift in UNITS:
        table = as_line(scale, shift)
        method, params, episode = *built(name, table)[:2], task(table)
        params = params or method.init(jax.random.key(0), example(table))
        predictions = method.predict(method.adapt(params, episode.support), episode.query.x)
        found.append(predictions if method.output == "score" else (predictions - shift) / scale)
    for predictions in found[1:]:
        np.testing.assert_allclose(predictions, found[0], rtol=1e-3, atol=1e-3)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(["bias", "item_knn", "als", "gp", "ridge"]), st.floats(0.01, 1e3), st.floats(-10.0, 10.0))
def test_predictions_follow_any_line(name, scale, deviations):
    """What is fitted to scale r + shift predicts the same, so moved, whatever both are."""
    shift, (_, spread) = scale * deviations, TABLE.units
    found = []
    for table in (TABLE, as_line(scale, shift)):
        method, params, episode = *built(name, table)[:2], task(table)
        found.append(np.asarray(method.predict(method.adapt(params, episode.support), episode.query.x)))
    np.testing.assert_allclose((found[1] - shift) / scale, found[0], atol=2e-3 * spread)


def test_variance_and_updates_are_in_rating_units():
    episode, other = task(TABLE), task(in_other_units())
    for name in ("ridge", "alpaca"):
        one, two = built(name, TABLE), built(name, in_other_units())
        fast, moved = (
            own.method.update(own.method.adapt(own.params, part.support), part.query)
            for own, part in ((one, episode), (two, other))
        )
        small, large = one.method.variance(fast, episode.query.x), two.method.variance(moved, other.query.x)
        np.testing.assert_allclose(large, 400.0 * small, rtol=1e-3)


@pytest.mark.parametrize("name", slow_but(["protonet", "maml", "ridge", "attentive_ridge", "cnp"], LEARNERS))
def test_another_seed_is_the_same_program(name):
    """The training steps of two splits are the same text, down to every constant and shape."""
    texts = []
    for seed in (0, 1):
        benchmark = user_cold_start(shots=(0, 3), query=3)
        (fold,) = benchmark.folds(TABLE, seed, Store())
        own, tasks, config = built(name, fold.tables["train"]), fold.tasks("train"), RECIPES[name].training
        params = own.params or own.method.init(jax.random.key(seed), example(TABLE))
        steps = train_steps(own.method, tasks.sample, config, own.rates, Sharding())
        state = start_from(params, adam(config.outer_lr, config.total, rates=own.rates)).state
        texts.append(steps.lower(tasks.data, state, jax.random.key(2)).as_text())
    assert texts[0] == texts[1]


def test_what_is_fixed_of_a_learner_stays_beside_the_units():
    params = built("protonet_levels", TABLE).method.init(jax.random.key(0), example(TABLE))
    mean, scale = TABLE.units
    np.testing.assert_allclose(params[FIXED]["units"], (mean, scale), rtol=1e-6)
    np.testing.assert_allclose(params[FIXED]["learner"]["levels"], (TABLE.levels - mean) / scale, rtol=1e-5)
