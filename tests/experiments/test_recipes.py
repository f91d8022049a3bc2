"""Every recipe, with its defaults, on a small table with side features: it builds, trains, and stays finite."""

import functools

import jax
import numpy as np
import pytest

from experiments.common.recipes import RECIPES
from experiments.common.recipes.base import hyperparameters
from metarec_jax import training
from metarec_jax.data.synthetic import make_world
from metarec_jax.spaces import Between, OneOf
from metarec_jax.tasks.user_cold_start import training_tasks


@functools.cache
def table():
    """Items enough for the ranks that recipes start with."""
    return make_world(0, users=100, items=60, ratings_per_user=20, dims=2).ratings


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_of_training_moves_it_and_stays_finite(name):
    recipe = RECIPES[name]
    own, outer = hyperparameters(recipe, {}, name)
    built = recipe.build(table(), **own)
    tasks = training_tasks(table(), support=5, query=5)
    optimiser = training.adam(outer.outer_lr, 10, weight_decay=outer.weight_decay, rates=built.rates)
    if built.params is None:
        run = training.start(built.learner, tasks, optimiser, jax.random.key(0))
    else:
        run = training.start_from(built.params, optimiser)
    before = jax.tree.map(np.array, run.state.params)  # the chunk destroys what it is given
    chunk = training.make_chunk(built.learner, tasks.sample, optimiser, batch=4, length=2)
    state, metrics = chunk(tasks.data, jax.tree.map(jax.numpy.copy, run.state), jax.random.key(1))
    assert np.isfinite(metrics["loss"]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    same = jax.tree.map(lambda old, new: np.array_equal(old, np.asarray(new)), before, state.params)
    assert not all(jax.tree.leaves(same))
    assert jax.tree.structure(state.params) == jax.tree.structure(before)


@pytest.mark.parametrize("name", RECIPES)
def test_the_space_is_of_hyperparameters_that_there_are_and_of_their_types(name):
    recipe = RECIPES[name]
    own, outer = hyperparameters(recipe, {}, name)
    known = own | vars(outer)
    for key, where in recipe.space.items():
        edges = where.values if isinstance(where, OneOf) else (where.low, where.high)
        assert isinstance(where, Between | OneOf)
        assert {type(edge) for edge in edges} == {type(known[key])}, key
        for edge in edges:
            hyperparameters(recipe, {key: edge}, name)
