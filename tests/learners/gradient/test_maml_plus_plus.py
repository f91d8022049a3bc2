"""MAML++: step weights by hand, per-step rates against a loop, and its limits, which are MAML and FOMAML."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import Linear, linear_episode, rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.maml_plus_plus import maml_plus_plus, step_weights

RATES = np.array([0.05, -0.02, 0.11])


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, [0.25, 0.25, 0.25, 0.25]),
        (50, [0.125, 0.125, 0.125, 0.625]),
        (90, [0.025, 0.025, 0.025, 0.925]),
        (100, [0, 0, 0, 1]),
        (5000, [0, 0, 0, 1]),
    ],
)
def test_step_weights_by_hand(step, expected):
    found = step_weights(4, step, 100)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(step_weights, static_argnums=(0, 2))(4, jnp.int32(step), 100), found, atol=1e-7)


def test_step_weights_at_the_ends():
    np.testing.assert_array_equal(step_weights(3, 0, 0), [0, 0, 1])  # no annealing: MAML's loss from the start
    np.testing.assert_array_equal(step_weights(1, 0, 100), [1])
    for step in range(0, 130, 7):
        np.testing.assert_allclose(step_weights(5, step, 100).sum(), 1, rtol=1e-6)


def linear(**settings):
    rng = np.random.default_rng(0)
    episode = linear_episode(rng)
    rule = maml_plus_plus(Linear(), objectives.squared_error, lr=0.1, steps=3, anneal_steps=100, **settings)
    return rule, {"net": {"w": jnp.asarray(rng.normal(size=5))}, "rates": {"w": jnp.asarray(RATES)}}, episode


def walk_by_hand(w: np.ndarray, episode) -> list[np.ndarray]:
    x, y = np.asarray(episode.support.x), np.asarray(episode.support.y)
    path = []
    for rate in RATES:
        w = w - rate * 2 / 7 * x.T @ (x @ w - y)
        path.append(w)
    return path


@pytest.mark.parametrize("step", [0, 50, 400])
def test_the_loss_is_the_weighted_sum_over_a_walk_with_a_rate_a_step(step):
    with jax.enable_x64(True):
        rule, params, episode = linear()
        path = walk_by_hand(np.asarray(params["net"]["w"]), episode)
        np.testing.assert_allclose(rule.adapt(params, episode.support)["w"], path[-1], rtol=1e-10)
        x, y = np.asarray(episode.query.x), np.asarray(episode.query.y)
        losses = [np.mean((x @ w - y) ** 2) for w in path]
        value, metrics = jax.jit(lambda p, s: rule.loss(p, episode, None, s))(params, jnp.int32(step))
        early = max(1 - step / 100, 0) / 3
        np.testing.assert_allclose(value, early * (losses[0] + losses[1]) + (1 - 2 * early) * losses[2], rtol=1e-6)
        np.testing.assert_allclose(metrics["loss"], losses[2], rtol=1e-10)  # the log's loss is that of the result


def test_every_rate_learns_and_after_annealing_too():
    with jax.enable_x64(True):
        rule, params, episode = linear()
        for step in (0, 400):
            rates = jax.grad(lambda p, s=step: rule.loss(p, episode, None, s)[0])(params)["rates"]["w"]
            assert rates.shape == (3,) and (np.abs(rates) > 1e-4).all()


def test_after_annealing_it_is_maml():
    episode, net = rating_task(np.random.default_rng(0)), rating_net()
    rule = maml_plus_plus(net, objectives.squared_error, lr=0.1, steps=2, anneal_steps=10)
    plain = maml(net, objectives.squared_error, lr=0.1, steps=2)
    params = rule.init(jax.random.key(0), episode)
    assert {leaf.shape for leaf in jax.tree.leaves(params["rates"])} == {(2,)}
    assert "id_bias" not in params["rates"]
    found = jax.jit(jax.value_and_grad(lambda p: rule.loss(p, episode, None, 10)[0]))(params)
    expected = jax.jit(jax.value_and_grad(lambda p: plain.loss(p, episode, None)[0]))(params["net"])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    chex.assert_trees_all_close(found[1]["net"], expected[1], atol=1e-5)


def test_first_order_until_its_step_and_exact_from_then_on():
    """On a linear model the steps turn g_query into (I - alpha_i H) ... g_query; to first order they leave it."""
    with jax.enable_x64(True):
        rule, params, episode = linear(first_order_steps=500)
        exact, _, _ = linear()
        w = walk_by_hand(np.asarray(params["net"]["w"]), episode)[-1]
        x = np.asarray(episode.query.x)
        at_query = 2 / 9 * x.T @ (x @ w - np.asarray(episode.query.y))
        hessian = 2 / 7 * np.asarray(episode.support.x.T @ episode.support.x)
        turned = at_query
        for rate in RATES[::-1]:
            turned = (np.eye(5) - rate * hessian) @ turned
        slope = jax.jit(jax.grad(lambda p, s: rule.loss(p, episode, None, s)[0]))
        np.testing.assert_allclose(slope(params, 499)["net"]["w"], at_query, rtol=1e-9)
        np.testing.assert_allclose(slope(params, 500)["net"]["w"], turned, rtol=1e-9)
        assert np.abs(turned - at_query).max() > 1e-2
        value = [r.loss(params, episode, None, 400)[0] for r in (rule, exact)]
        np.testing.assert_allclose(*value, rtol=1e-12)  # the order changes the gradient, not the loss
