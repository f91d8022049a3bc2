"""One compiled training for all values of a learner's numbers: the same results, and no compiling between them."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.benchmarks import user_cold_start
from metarec_jax.benchmarks.fitting import stream
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.eval.predict import squared_errors
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import example, hyperparameters
from metarec_jax.recipes.space import Between, is_real
from metarec_jax.search.sweep import compiled, rmse
from metarec_jax.train.compiled import Programs
from metarec_jax.train.fit import fit, start, train_steps
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store
from metarec_jax.train.sweep import fit_many, stack

SMALL = {"id_dim": 4, "width": 8, "steps": 20}
MAML = RECIPES["maml_network"]


@functools.cache
def world():
    """Training tasks and validation tasks at K = 5."""
    ratings = make_world(0, users=100, items=60, ratings_per_user=20, dims=2).ratings
    return user_cold_start((5,), query=5).folds(ratings, 0, Store())[0]


def settings(**changes):
    """Complete ones of a small network."""
    own, config = hyperparameters(MAML, SMALL | changes)
    return own | vars(config)


def trained(programs=None, seed=0, **changes):
    """A training by these programs, or by those of its own."""
    fold, (own, config) = world(), hyperparameters(MAML, SMALL | changes)
    built, tasks = MAML.build(fold.tables["train"], **own), fold.tasks("train")
    if programs is None:
        steps = train_steps(built.method, tasks.sample, config, built.rates, Sharding())
        programs = Programs(steps, partial(squared_errors, built.method))
    valid = fold.held_out("valid")
    key, validate = stream(seed, "maml_network"), lambda params: float(rmse(programs, params, valid))
    return fit(built.method, tasks, config, key=key, validate=validate, steps=programs.steps).run


def assert_close(found, expected):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


def test_it_finds_what_a_program_of_its_own_finds():
    one, changes = compiled(MAML, world()), {"inner_lr": 0.2, "outer_lr": 2e-3}
    other = trained(one.with_settings(settings()))
    run, expected = trained(one.with_settings(settings(**changes)), **changes), trained(**changes)
    assert_close(run.state.params, expected.state.params)
    assert float(run.best_value) == pytest.approx(float(expected.best_value), abs=1e-5)
    assert float(run.best_value) != float(other.best_value)
    (programs,) = one._compiled.values()
    assert programs.steps._cache_size() == programs.errors._cache_size() == 1


def test_several_runs_as_one_program_are_what_each_is_alone():
    fold, one = world(), compiled(MAML, world())
    several = [{"inner_lr": rate, "patience": 20} for rate in (0.05, 0.3)]
    programs, begun = one.side_by_side([settings(**own) for own in several]), []
    for seed, changes in enumerate(several):
        own, config = hyperparameters(MAML, SMALL | changes)
        built = MAML.build(fold.tables["train"], **own)
        begun.append(start(built.method, fold.tasks("train"), config, stream(seed, "maml_network")))
    found = fit_many(
        programs.steps,
        fold.tasks("train").data,
        stack([run for run, _ in begun]),
        roots=jnp.stack([root for _, root in begun]),
        steps=20,
        validate=lambda params: rmse(programs, params, fold.held_out("valid")),
    )
    for place, changes in enumerate(several):
        expected = trained(one.with_settings(settings(**changes)), seed=place, **changes)
        mine = jax.tree.map(lambda leaf, place=place: leaf[place], found)
        assert_close(mine.best_params, expected.best_params)
        assert float(mine.best_value) == pytest.approx(float(expected.best_value), abs=1e-5)
        assert int(mine.best_step) == int(expected.best_step)
    with pytest.raises(ValueError, match="real numbers"):
        one.side_by_side([settings(**several[0]), settings(inner_steps=3)])


def test_whole_numbers_have_programs_of_their_own():
    one = compiled(MAML, world())
    for steps in (1, 2, 1):
        one.with_settings(settings(inner_steps=steps))
    assert len(one._compiled) == 2


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.training])
def test_the_real_numbers_of_every_recipe_may_be_arguments(name):
    """No recipe and no learner asks what such a number is while it is traced."""
    recipe, train = RECIPES[name], world().tables["train"]
    own, outer = hyperparameters(recipe)
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
