"""Baselines that know a new item by its content: against their definitions, and on a world where content matters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax.baselines import content_knn, content_regression
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.priors.bias import fit_biases
from metarec_jax.recipes import ITEM_RECIPES
from metarec_jax.types import Examples, Inputs

TABLE = random_table(3, users=25, items=12, least=4, most=10).transposed()


def inputs(table, raters, owner: int) -> Inputs:
    content, context = table.item_features.values[raters], table.user_features.values[owner]
    return Inputs(jnp.asarray(raters), jnp.asarray(content), jnp.asarray(context))


def test_regression_is_its_normal_equations():
    reg, reg_all, reg_owner = 4.0, 2.0, 3.0
    params = content_regression.fit(TABLE, reg=reg, reg_all=reg_all, reg_owner=reg_owner, reg_candidate=5.0)
    mean, candidate, owner = fit_biases(TABLE, reg_owner, 5.0)
    centred = TABLE.user_features.values - TABLE.user_features.values.mean(0)
    feature = centred / np.sqrt(np.mean(centred**2))  # one feature: its axis is itself, up to its sign
    sign = float(np.sign(params["axes"][0, 0]))
    weight = np.diff(TABLE.user_offsets) / (np.diff(TABLE.user_offsets) + reg_owner)
    f = sign * feature[:, 0]
    beta = (weight * owner) @ f / (weight @ f**2 + reg_all)
    rows = np.flatnonzero(TABLE.item == 7)
    left = TABLE.rating[rows] - mean - candidate[7] - owner[TABLE.user[rows]]
    own = f[TABLE.user[rows]]
    delta = own @ left / (own @ own + reg)
    assert float(params["taste"][7, 0]) == pytest.approx(beta + delta, abs=1e-5)
    x = inputs(TABLE, np.array([7, 7]), 2)
    expected = mean + candidate[7] + f[2] * (beta + delta)
    np.testing.assert_allclose(content_regression.before_ratings(params, x), expected, atol=1e-5)
    support = Examples(x, jnp.array([5.0, 9e9]), jnp.array([1.0, 0.0]))
    bias_of_new = (5.0 - expected) / (1 + reg_owner)
    method = content_regression.CONTENT_REGRESSION
    np.testing.assert_allclose(method.predict(method.adapt(params, support), x), expected + bias_of_new, atol=1e-4)


def test_principal_axes_keep_the_geometry():
    values = np.random.default_rng(0).normal(size=(30, 4)) @ np.diag([3.0, 2.0, 1.0, 0.0])
    centre, axes = content_regression.principal_axes(values, 10)
    found = (values - centre) @ axes
    assert axes.shape == (4, 3) and np.mean(np.sum(found**2, 1)) == pytest.approx(1.0)
    ratio = np.linalg.norm(values[0] - values[1]) / np.linalg.norm(values[2] - values[3])
    assert np.linalg.norm(found[0] - found[1]) / np.linalg.norm(found[2] - found[3]) == pytest.approx(ratio)


def test_neighbours_are_weighted_by_the_cosine_of_their_content():
    world = make_world(0, users=30, items=20, ratings_per_user=12)
    table = world.ratings.transposed()
    neighbours, damping = 4, 2.0
    params = content_knn.fit(table, neighbours=neighbours, damping=damping, reg_owner=3.0, reg_candidate=5.0)
    mean, candidate, _ = fit_biases(table, 3.0, 5.0)
    rater, content = 5, np.random.default_rng(1).normal(size=table.user_features.values.shape[1])
    scaled = table.user_features.values / np.maximum(table.user_features.values.std(0), 1e-3)
    new = content / np.maximum(table.user_features.values.std(0), 1e-3)
    length = np.maximum(np.linalg.norm(scaled, axis=1), 1e-9)  # an item may have no feature at all
    cosine = scaled @ new / length / np.linalg.norm(new)
    cosine[np.argsort(-cosine)[neighbours:]] = 0.0
    rows = np.flatnonzero(table.item == rater)
    weight = np.maximum(cosine[table.user[rows]], 0.0)
    expected = mean + candidate[rater]
    expected += weight @ (table.rating[rows] - expected) / (weight.sum() + damping)
    x = Inputs(jnp.array([rater]), jnp.zeros((1, 0)), jnp.asarray(content, jnp.float32))
    assert float(content_knn.before_ratings(params, x)[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["content_regression", "content_knn", "gp"])
def test_content_foretells_ratings_of_items_without_one(name):
    world = make_world(
        1,
        users=150,
        items=400,
        ratings_per_user=40,
        dims=3,
        noise=0.4,
        item_scale=0.3,
        item_bias=0.2,
        feature_scale=1.0,
    )
    table = world.ratings.transposed()
    train = table.keep_rows(np.flatnonzero(table.user < 340))
    rows = np.flatnonzero(table.user >= 340)
    x = Inputs(
        jnp.asarray(table.item[rows]),
        jnp.asarray(table.item_features.values[table.item[rows]]),
        jnp.asarray(table.user_features.values[table.user[rows]]),
    )
    alone = Inputs(x.id[:, None], x.content[:, None], x.context)  # a task has one owner
    errors = {}
    for tried in (name, "user_mean"):
        baseline = ITEM_RECIPES[tried].baseline
        params = baseline.fit(train)

        def predict(one, baseline=baseline, params=params):
            return baseline.predict(baseline.adapt(params, Examples(one, jnp.zeros(1), jnp.zeros(1))), one)[0]

        predicted = jax.vmap(predict)(alone)
        errors[tried] = float(np.mean((np.asarray(predicted) - table.rating[rows]) ** 2))
    assert errors[name] < 0.8 * errors["user_mean"]
