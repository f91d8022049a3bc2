"""What every baseline must do, whatever it fits: padding and order inert, K = 0 defined, deterministic, never NaN."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax.data.table import Features, Ratings
from metarec_jax.priors.statistics import MAX_ITEMS
from metarec_jax.recipes.baselines import ITEM, RANKING, RATING
from metarec_jax.recipes.space import OneOf, contains
from metarec_jax.testing import check_baseline
from metarec_jax.types import Episode, Examples, Inputs

ALL = {name: recipe for name, recipe in (ITEM | RATING).items() if name != "user_knn"}  # that is item_knn
ALL["implicit_als"] = RANKING["implicit_als"]._replace(grid=RANKING["implicit_als"].grid[::15])
SHOTS = 5
TABLE = random_table(0, users=40, items=24, least=10, most=16)
UNRATED = 0  # an item that no training user rated
TRAINING = np.setdiff1d(np.arange(30), TABLE.user[TABLE.item == UNRATED])
WITH_FEATURES = TABLE.keep_rows(np.flatnonzero(np.isin(TABLE.user, TRAINING)))
WITHOUT = dataclasses.replace(
    WITH_FEATURES,
    user_features=Features.none(len(TRAINING)),
    item_features=Features.none(TABLE.num_items),
)
TRAINS = {"features": WITH_FEATURES, "no features": WITHOUT}
FITTED: dict[tuple[str, str], tuple] = {}  # each baseline is fitted once


def fitted(name: str, train: str) -> tuple:
    """The baseline and its parameters at the first setting of its grid."""
    if (name, train) not in FITTED:
        baseline = ALL[name].baseline
        FITTED[name, train] = baseline, baseline.fit(TRAINS[train], **ALL[name].grid[0])
    return FITTED[name, train]


def inputs(train: Ratings, items: np.ndarray, user: int) -> Inputs:
    """The items as user `user` of the table sees them."""
    context = TABLE.user_features.values[user, : train.user_features.values.shape[1]]
    return Inputs(
        jnp.asarray(items, jnp.int32),
        jnp.asarray(train.item_features.values[items]),
        jnp.asarray(context),
    )


def task(train: Ratings, user: int) -> Examples:
    """The user's first ratings."""
    rows = np.flatnonzero(TABLE.user == user)[:SHOTS]
    return Examples(inputs(train, TABLE.item[rows], user), jnp.asarray(TABLE.rating[rows]), jnp.ones(SHOTS))


@partial(jax.jit, static_argnums=(0, 1))
def run(adapt: Callable, predict: Callable, params: dict, support: Examples, query: Inputs) -> jax.Array:
    return predict(adapt(params, support), query)


def episode(train: Ratings, user: int = 35) -> Episode:
    """The user's first ratings, and all items as the query, the one without ratings among them."""
    query = inputs(train, np.arange(TABLE.num_items), user)
    ones = jnp.ones(TABLE.num_items)
    return Episode(task(train, user), Examples(query, 0 * ones, ones))


@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("name", ALL)
def test_it_has_every_property_of_a_baseline(name, train):
    check_baseline(ALL[name].baseline, TRAINS[train], episode(TRAINS[train]), **ALL[name].grid[0])


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_float32(name):
    for leaf in jax.tree.leaves(fitted(name, "features")[1]):
        assert isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32


@pytest.mark.parametrize("name", ALL)
def test_every_setting_of_the_grid_fits(name):
    baseline, grid = ALL[name].baseline, ALL[name].grid
    assert 1 <= len(grid) <= 8
    for settings in grid:
        params = baseline.fit(WITH_FEATURES, **settings)
        assert not any(jnp.isnan(leaf).any() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("name", ALL)
def test_the_space_holds_the_grid_and_its_ends_fit(name):
    baseline, grid, space = ALL[name].baseline, ALL[name].grid, ALL[name].space
    for settings in grid:
        for key, value in settings.items():
            assert contains(space[key], value), (key, value)
    for end in (0, -1):
        settings = {key: (where.values if isinstance(where, OneOf) else where[:2])[end] for key, where in space.items()}
        params = baseline.fit(WITH_FEATURES, **settings)
        assert not any(jnp.isnan(leaf).any() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("name", [name for name, recipe in ALL.items() if recipe.output == "rating"])
def test_ratings_follow_the_scale_of_the_data(name):
    """Ratings times ten are predicted times ten: no penalty depends on the scale."""
    baseline, params = fitted(name, "features")
    ten = dataclasses.replace(WITH_FEATURES, rating=WITH_FEATURES.rating * 10)
    support, query = task(WITH_FEATURES, 35), inputs(WITH_FEATURES, np.arange(TABLE.num_items), 35)
    one = run(baseline.adapt, baseline.predict, params, support, query)
    tenfold = baseline.fit(ten, **ALL[name].grid[0])
    scaled = run(baseline.adapt, baseline.predict, tenfold, support._replace(y=support.y * 10), query)
    np.testing.assert_allclose(scaled, 10 * one, rtol=2e-3)


@pytest.mark.parametrize("name", ["item_knn", "item_cosine", "ease", "gp"])
def test_too_many_items_are_refused(name):
    ids, features = np.arange(MAX_ITEMS + 1).astype(str), Features.none(MAX_ITEMS + 1)
    large = dataclasses.replace(WITH_FEATURES, item_ids=ids, item_features=features)
    with pytest.raises(ValueError, match="pairs of items stops at 20000"):
        ALL[name].baseline.fit(large)
