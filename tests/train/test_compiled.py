"""One compiled training for all values of a learner's numbers: the same results, and no compiling between them."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.jobs import begin, make_job, make_programs
from experiments.common.one_program import OneProgram
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import example, hyperparameters
from metarec_jax.recipes.space import Between, is_real
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.sweep import fit_many, stack

SMALL = {"id_dim": 4, "width": 8}


@functools.cache
def world():
    ratings = make_world(0, users=100, items=60, ratings_per_user=20, dims=2).ratings
    split = split_users(ratings, seed=0, query=5)
    train = ratings.keep_rows(split.train_rows)
    return train, training_tasks(train, support=5, query=5), {5: episodes(ratings, split.valid, 5)[0]}


def test_it_finds_what_a_program_of_its_own_finds():
    recipe, (train, tasks, held_out) = RECIPES["maml"], world()
    one = OneProgram(recipe, train, tasks.sample)

    def fit(programs=None, **changes):
        own, outer = hyperparameters(recipe, SMALL | {"steps": 20} | changes, "maml")
        built = recipe.build(train, **own)
        programs = programs or one.at(own, outer)
        job = make_job("maml", built, outer, 0, tasks, held_out, programs)
        return job.fit(job.start), make_programs(built, outer, tasks.sample, Sharding())

    other, _ = fit()
    run, own_programs = fit(inner_lr=0.2, outer_lr=2e-3)
    expected, _ = fit(own_programs, inner_lr=0.2, outer_lr=2e-3)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), run.state.params, expected.state.params)
    assert float(run.best_value) == pytest.approx(float(expected.best_value), abs=1e-5)
    assert float(run.best_value) != float(other.best_value)
    (compiled,) = one._compiled.values()
    assert compiled.chunk._cache_size() == compiled.errors._cache_size() == 1


def test_several_runs_as_one_program_are_what_each_is_alone():
    recipe, (train, tasks, held_out) = RECIPES["maml"], world()
    one = OneProgram(recipe, train, tasks.sample)
    settings = [
        hyperparameters(recipe, SMALL | {"steps": 20, "inner_lr": rate, "patience": 20}, "maml") for rate in (0.05, 0.3)
    ]
    begun = [
        begin("maml", recipe.build(train, **own), outer, seed, tasks) for seed, (own, outer) in enumerate(settings)
    ]
    programs = one.microbatch(settings)

    def validate(params):
        return np.asarray(jnp.sqrt(programs.errors(params, held_out[5]).mean(-1)))

    found = fit_many(
        programs.chunk,
        tasks.data,
        stack([run for run, _ in begun]),
        roots=jnp.stack([root for _, root in begun]),
        steps=20,
        validate=validate,
    )
    for place, (own, outer) in enumerate(settings):
        built = recipe.build(train, **own)
        alone = make_job("maml", built, outer, place, tasks, held_out, one.at(own, outer))
        expected = alone.fit(alone.start)
        mine = jax.tree.map(lambda leaf, place=place: leaf[place], found)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), mine.best_params, expected.best_params)
        assert float(mine.best_value) == pytest.approx(float(expected.best_value), abs=1e-5)
        assert int(mine.best_step) == int(expected.best_step)
    with pytest.raises(ValueError, match="real numbers"):
        one.microbatch([settings[0], hyperparameters(recipe, {"inner_steps": 3}, "maml")])


def test_whole_numbers_have_programs_of_their_own():
    recipe, (train, tasks, _) = RECIPES["maml"], world()
    one = OneProgram(recipe, train, tasks.sample)
    for steps in (1, 2, 1):
        one.at(*hyperparameters(recipe, {"inner_steps": steps}, "maml"))
    assert len(one._compiled) == 2


@pytest.mark.parametrize("name", RECIPES)
def test_the_real_numbers_of_every_recipe_may_be_arguments(name):
    """No recipe and no learner asks what such a number is while it is traced."""
    recipe, (train, _, _) = RECIPES[name], world()
    own, outer = hyperparameters(recipe, {}, name)
    defaults = own | vars(outer)
    numbers = {key: defaults[key] for key, where in recipe.space.items() if is_real(where)}
    task = example(train)

    def loss(numbers):
        built = recipe.build(train, **own | {key: value for key, value in numbers.items() if key in own})
        params = built.method.init(jax.random.key(0), task)
        return built.method.loss(params, task, jax.random.key(1))[0]

    assert jax.eval_shape(loss, numbers).shape == ()


def test_what_is_real():
    assert is_real(Between(0.0, 1.0)) and not is_real(Between(1, 3))
