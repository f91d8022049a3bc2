"""Every recipe, with its defaults, on a small table with side features: it builds and can be trained."""

import functools
import importlib

import chex
import jax
import numpy as np
import pytest

from metarec_jax import recipes
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.recipes import ITEM_RECIPES, RANKING_RECIPES, RECIPES
from metarec_jax.recipes.base import hyperparameters
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.recipes.start import PROCESS, RATES
from metarec_jax.tasks.users import training_tasks

EVERY = {name: recipe for name, recipe in (ITEM_RECIPES | RANKING_RECIPES).items() if recipe.training}
RANKERS = [name for name in EVERY if name in RANKING_RECIPES]


@functools.cache
def table():
    """Items enough for the ranks that recipes start with."""
    return make_world(0, users=100, items=60, ratings_per_user=20, dims=2).ratings


@pytest.mark.parametrize("name", EVERY)
def test_its_loss_and_its_gradient_are_finite_where_it_starts(name):
    recipe = EVERY[name]
    own, _ = hyperparameters(recipe)
    stage = (1, None) if name in RANKERS else ()
    built = recipe.build(table(), *stage, **own)
    tasks = training_tasks(table(), support=5, query=5)
    drawn = (jax.jit(tasks.sample)(tasks.data, jax.random.key(number)) for number in range(20))
    episode = next(task for task in drawn if task.support.mask.any())  # a stranger teaches a ranker nothing
    params = built.params or built.method.init(jax.random.key(0), episode)
    assert (built.start is not None) == (recipe.start == PROCESS)
    if built.start is None:  # else they are those of all learners from a fit
        assert set(built.rates or {}) <= set(params)

    learnt, fixed = split_fixed(params)

    def loss(learnt):
        return built.method.loss(join_fixed(learnt, fixed), episode, jax.random.key(1))[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(learnt)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", EVERY)
def test_the_space_is_of_hyperparameters_that_there_are_and_of_their_types(name):
    recipe = EVERY[name]
    own, outer = hyperparameters(recipe)
    known = own | vars(outer)
    for key, where in recipe.space.items():
        edges = where.values if isinstance(where, OneOf) else (where.low, where.high)
        assert isinstance(where, Between | OneOf)
        assert {type(edge) for edge in edges} == {type(known[key])}, key
        for edge in edges:
            hyperparameters(recipe, {key: edge})


@pytest.mark.parametrize("name", RANKERS)
def test_a_second_stage_keeps_what_the_first_learnt_and_counts_for_itself(name):
    recipe, sizes = EVERY[name], {"dim": 4, "width": 8}
    liked = table().keep_rows(np.flatnonzero(table().rating >= np.median(table().rating)))
    first = recipe.build(table(), 1, None, **sizes)
    second, afresh = recipe.build(liked, 1, first.params, **sizes), recipe.build(liked, 1, None, **sizes)
    learnt, fixed = split_fixed(second.params)
    chex.assert_trees_all_equal(learnt, split_fixed(first.params)[0])
    chex.assert_trees_all_equal(fixed, split_fixed(afresh.params)[1])
    assert second.rates == first.rates


def test_votes_that_would_never_be_let_in_are_refused():
    with pytest.raises(ValueError, match="alone=1 leaves no step for the votes"):
        EVERY["neighbour_encoder"].build(table(), 10, None, alone=1.0)


def test_recipes_are_called_by_name_with_other_defaults():
    assert recipes.maml() == RECIPES["maml"] and recipes.maml(inner_lr=0.1).name == "maml"
    assert hyperparameters(recipes.maml(inner_lr=0.1))[0]["inner_lr"] == 0.1
    assert recipes.gp(rank=16).grid == ({"rank": 16},)  # of a classical method, instead of its grid
    assert recipes.history_ridge() == ITEM_RECIPES["history_ridge"]
    assert "maml" in dir(recipes)
    with pytest.raises(AttributeError, match="no recipe 'mamml'"):
        recipes.mamml()
    with pytest.raises(ValueError, match="maml has no 'lr'; it has inner_lr"):
        recipes.maml(lr=0.1)
    with pytest.raises(ValueError, match="gp has no 'x'; it has rank"):
        recipes.gp(x=1)


@pytest.mark.parametrize("module", ["maml", "maml_plus_plus", "imaml", "melu"])
def test_what_differs_from_the_paper_is_said(module):
    said = importlib.import_module(f"metarec_jax.learners.gradient.{module}").__doc__
    assert "iffers from" in said and ("prior_count" in said or module == "melu")


def test_what_is_many_numbers_moves_less():
    """The map from the choice of items and the keys are found where they are, however deep."""
    built = RECIPES["attentive_ridge"].build(table())
    names = {
        part.key
        for path, _ in jax.tree_util.tree_leaves_with_path(built.params)
        for part in path
        if hasattr(part, "key")
    }
    assert set(RATES) <= names and built.rates == RATES
