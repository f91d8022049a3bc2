"""MAML's meta-gradient against closed forms, and the first-order variants against their definitions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_tasks import Linear, linear_episode, rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.inner_loop import descend
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.types import Episode

ALPHA = 0.07


def closed_form(w: np.ndarray, episode: Episode, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """((I - alpha H)^steps g_query(w'), g_query(w')) of mean squared error on a linear model."""
    hessian = 2 / len(episode.support.y) * episode.support.x.T @ episode.support.x
    adapted = w
    for _ in range(steps):
        adapted = adapted - ALPHA * 2 * episode.support.x.T @ (episode.support.x @ adapted - episode.support.y) / 7
    first_order = 2 * episode.query.x.T @ (episode.query.x @ adapted - episode.query.y) / 9
    turn = np.linalg.matrix_power(np.eye(len(w)) - ALPHA * np.asarray(hessian), steps)
    return turn @ first_order, first_order


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_meta_gradient_on_linear_regression_has_its_closed_form(steps, first_order):
    with jax.enable_x64(True):
        rng = np.random.default_rng(steps)
        episode, w = linear_episode(rng), rng.normal(size=5)
        rule = maml(Linear(), objectives.squared_error, lr=ALPHA, steps=steps, first_order=first_order)
        gradient = jax.grad(lambda p: rule.loss(p, episode, jax.random.key(0))[0])({"w": jnp.asarray(w)})["w"]
        exact, approximate = closed_form(w, episode, steps)
        np.testing.assert_allclose(gradient, approximate if first_order else exact, rtol=1e-8, atol=1e-10)
        assert np.abs(exact - approximate).max() > 1e-2  # so that the two cannot be mistaken for each other


def test_one_step_leaves_id_rows_alone_without_changing_anything():
    """The row of a rated item is not read by the query, so adapting it too gives the same prediction after one step.
    The meta-gradient reaches the rows of support items all the same, through the inner gradient."""
    rng = np.random.default_rng(0)
    episode, net = rating_task(rng), rating_net()
    rule = maml(net, objectives.squared_error, lr=0.1)
    everything = maml(net, objectives.squared_error, lr=0.1, shared=lambda path: False)
    params = jax.jit(rule.init)(jax.random.key(0), episode)
    one, all_of_it = (
        jax.jit(lambda p, r=r: r.predict(r.adapt(p, episode.support), episode.query.x))(params)
        for r in (rule, everything)
    )
    np.testing.assert_allclose(one, all_of_it, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda p: rule.loss(p, episode, jax.random.key(0))[0]))(params)
    table = np.abs(gradient["encoder"]["id_table"]["table"]).sum(1)
    assert (table[np.asarray(episode.support.x.id)] > 0).all()
    assert (table[np.asarray(episode.query.x.id)] > 0).all()
    assert table.astype(bool).sum() == 10  # and no other row


def test_prior_count_scales_the_step():
    """With as many pseudo-ratings as ratings the step is half as long."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        episode = linear_episode(rng)
        params = {"w": jnp.asarray(rng.normal(size=5))}
        full, half = (
            maml(Linear(), objectives.squared_error, lr=ALPHA, prior_count=count).adapt(params, episode.support)["w"]
            for count in (0.0, 7.0)
        )
        np.testing.assert_allclose(full - params["w"], 2 * (half - params["w"]), rtol=1e-10)


def test_many_steps_reach_the_least_squares_solution():
    with jax.enable_x64(True):
        episode = linear_episode(np.random.default_rng(2), dims=3)
        x, y = np.asarray(episode.support.x), np.asarray(episode.support.y)
        fitted, _ = descend(
            lambda p: jnp.mean((episode.support.x @ p["w"] - episode.support.y) ** 2),
            {"w": jnp.zeros(3)},
            optimiser=optax.sgd(0.2),
            steps=4000,
        )
        np.testing.assert_allclose(fitted["w"], np.linalg.lstsq(x, y)[0], rtol=1e-6)


def test_first_order_meta_gradient_is_the_query_gradient_at_the_adapted_weights():
    rng = np.random.default_rng(3)
    episode, net = rating_task(rng), rating_net()
    rule = maml(net, objectives.squared_error, lr=0.1, steps=2, first_order=True)
    params = jax.jit(rule.init)(jax.random.key(0), episode)
    gradient = jax.grad(lambda p: rule.loss(p, episode, jax.random.key(0))[0])(params)
    adapted = rule.adapt(params, episode.support)
    at_adapted = jax.grad(lambda p: objectives.squared_error(rule.predict(p, episode.query.x), episode.query)[0])
    chex.assert_trees_all_close(gradient, at_adapted(adapted), atol=1e-6)
