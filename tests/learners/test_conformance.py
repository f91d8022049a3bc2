"""Every learner, one table: what must hold for all of them. A learner that is not in LEARNERS does not exist."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import FIRST_ORDER, LEARNERS, LEARNT_VARIANCE, STEPWISE
from trained import (
    LENGTH,
    assert_resuming_is_exact,
    assert_traces_once,
    assert_trains,
    begin,
    fit,
    learner,
    one_task,
    tasks,
    trained,
    trained_half,
)

from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.types import Episode, Examples

# Devices are met in `metarec_jax/train` only: a learner of each family is enough, one that draws random numbers too.
SHARDED = {"protonet_ratings", "maml", "ridge", "tanp"}
PMAPPED = {"maml", "ridge"}


@pytest.fixture(params=LEARNERS)
def name(request) -> str:
    return request.param


@functools.cache
def predictor(name: str):
    """One jitted function a learner, so that supports of the same length share a compiled program."""
    rule = learner(name)
    return jax.jit(lambda params, support, x: rule.predict(rule.adapt(params, support), x))


def predictions(name: str, support: Examples) -> np.ndarray:
    """Of the trained learner, on the first validation task's query."""
    return np.asarray(predictor(name)(trained(name).best_params, support, one_task().query.x))


def test_it_trains(name):
    assert_trains(name)


def test_it_traces_once(name):
    assert_traces_once(name)


def test_padding_is_inert(name):
    support = one_task().support
    garbage = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:3] * 0 + 7]), support)
    padded = garbage._replace(mask=jnp.concatenate([support.mask, jnp.zeros(3)]))
    np.testing.assert_allclose(predictions(name, padded), predictions(name, support), atol=2e-5)


def test_order_of_the_support_is_inert(name):
    support = one_task().support
    turned = jax.tree.map(lambda leaf: leaf[::-1], support)
    np.testing.assert_allclose(predictions(name, turned), predictions(name, support), atol=2e-5)


def test_adaptation_changes_predictions_and_an_empty_support_does_not(name):
    support = one_task().support
    empty = support._replace(mask=jnp.zeros_like(support.mask))
    without_rows = jax.tree.map(lambda leaf: leaf[:0], support)
    cold = predictions(name, empty)
    assert np.isfinite(cold).all()
    np.testing.assert_allclose(predictions(name, without_rows), cold, atol=1e-6)
    assert np.abs(predictions(name, support) - cold).max() > 1e-3


def test_variance_is_positive_and_falls_with_more_ratings(name):
    rule, params, support = learner(name), trained(name).best_params, one_task().support
    if rule.variance is None or name in LEARNT_VARIANCE:
        pytest.skip("has no posterior variance")
    few = support._replace(mask=support.mask.at[2:].set(0.0))
    less, more = (np.asarray(rule.variance(rule.adapt(params, part), one_task().query.x)) for part in (few, support))
    assert more.shape == one_task().query.mask.shape
    assert (more > 0).all()
    assert (more < less).all()


@pytest.mark.parametrize("name", sorted(LEARNT_VARIANCE))
def test_learnt_variance_is_positive_and_falls_on_average(name):
    """A posterior's variance falls whatever the ratings say. A network has to learn that, which takes it the whole of
    the schedule, and does so for the mean candidate only: ratings that surprise it may well leave it less sure."""
    rule, episodes = learner(name), tasks()[1]
    params = fit(name, begin(name), 40 * LENGTH).best_params
    variance = jax.jit(jax.vmap(lambda support, x: rule.variance(rule.adapt(params, support), x)))
    few = episodes.support._replace(mask=jnp.asarray(episodes.support.mask).at[:, 2:].set(0.0))
    less, more = (np.asarray(variance(part, episodes.query.x)) for part in (few, episodes.support))
    assert more.shape == episodes.query.mask.shape
    assert (more > 0).all()
    assert more.mean() < 0.98 * less.mean()


def test_updating_one_by_one_equals_adapting_at_once(name):
    rule, params, support = learner(name), trained(name).best_params, one_task().support
    if rule.update is None or name in STEPWISE:
        pytest.skip("has no update that is exact")
    update = jax.jit(rule.update)
    fast = rule.adapt(params, jax.tree.map(lambda leaf: leaf[:0], support))
    for row in range(len(support.mask)):
        fast = update(fast, jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], support))
    found = rule.predict(fast, one_task().query.x)
    np.testing.assert_allclose(found, predictions(name, support), atol=5e-5)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_eight_devices_equal_one(name, parallel):
    if name not in (SHARDED if parallel == "jit" else PMAPPED):
        pytest.skip("a learner of each family is spread over devices; see SHARDED")
    one = trained_half(name)
    eight = fit(name, begin(name), 2 * LENGTH, devices=8, parallel=parallel)
    chex.assert_trees_all_close(eight.state.params, one.state.params, atol=2e-4, rtol=2e-3)


def test_resuming_is_exact(name, tmp_path):
    assert_resuming_is_exact(name, tmp_path)


def test_gradient_equals_finite_differences_in_float64(name):
    if name in FIRST_ORDER:
        pytest.skip("a first-order learner's update is by definition not the gradient of its loss")
    with jax.enable_x64(True):
        to_64 = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)))
        learnt, fixed = split_fixed(trained(name).best_params)
        episode, params = one_task(), to_64(learnt)
        episode = Episode(*(part._replace(y=to_64(part.y), mask=to_64(part.mask)) for part in episode))

        @jax.jit
        def loss(params):
            return learner(name).loss(join_fixed(params, fixed), episode, jax.random.key(0))[0]

        # In numpy, where nothing has to be compiled for each shape.
        params, gradient = jax.tree.map(np.asarray, (params, jax.jit(jax.grad(loss))(params)))
        rng = np.random.default_rng(0)
        for _ in range(3):
            direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
            ahead, behind = (
                jax.tree.map(lambda leaf, d, sign=sign: np.asarray(leaf + sign * 1e-6 * d), params, direction)
                for sign in (1, -1)
            )
            slope = float(loss(ahead) - loss(behind)) / 2e-6
            along = sum(np.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
            assert abs(slope) > 1e-3, "a direction that says nothing"
            np.testing.assert_allclose(along, slope, rtol=1e-5)
