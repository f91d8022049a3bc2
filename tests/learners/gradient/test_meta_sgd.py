"""A rate for every number: MAML where they are equal, a closed form where they are not."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import Linear, examples, linear_episode, rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.meta_sgd import meta_sgd
from metarec_jax.types import Episode


def test_it_starts_as_maml():
    episode, net = rating_task(np.random.default_rng(0)), rating_net()
    rule, plain = (make(net, objectives.squared_error, lr=0.1, steps=2) for make in (meta_sgd, maml))
    params = rule.init(jax.random.key(0), episode)
    assert set(params["rates"]) == {"encoder", "head"} and "id_table" not in params["rates"]["encoder"]
    assert params["rates"]["head"]["kernel"].shape == params["net"]["head"]["kernel"].shape
    assert all((rate == np.float32(0.1)).all() for rate in jax.tree.leaves(params["rates"]))
    found, expected = (
        jax.jit(jax.value_and_grad(lambda p, r=r: r.loss(p, episode, None)[0]))(p)
        for r, p in ((rule, params), (plain, params["net"]))
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    chex.assert_trees_all_close(found[1]["net"], expected[1], atol=1e-6)


def test_one_step_by_hand():
    """w = (1, 1) errs by -1 at x = (1, 0), y = 2 and by -2 at x = (0, 2), y = 4; the mean gradient is (-1, -4), and
    rates (0.5, -0.25) take w to (1.5, 0)."""
    with jax.enable_x64(True):
        rule = meta_sgd(Linear(), objectives.squared_error, lr=0.1)
        params = {"net": {"w": jnp.array([1.0, 1.0])}, "rates": {"w": jnp.array([0.5, -0.25])}}
        fast = rule.adapt(params, examples([[1.0, 0.0], [0.0, 2.0]], [2.0, 4.0]))
        np.testing.assert_allclose(fast["w"], [1.5, 0.0], rtol=1e-12)


@pytest.mark.parametrize("first_order", [False, True])
def test_gradients_on_linear_regression_have_their_closed_forms(first_order):
    """(I - H diag(alpha)) g_query for the weights and -g_support g_query for the rates, which need no second order."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        (support, query), w, alpha = linear_episode(rng), rng.normal(size=5), rng.normal(size=5) * 0.1
        rule = meta_sgd(Linear(), objectives.squared_error, lr=0.1, first_order=first_order)
        params = {"net": {"w": jnp.asarray(w)}, "rates": {"w": jnp.asarray(alpha)}}
        gradient = jax.grad(lambda p: rule.loss(p, Episode(support, query), None)[0])(params)
        x, hessian = np.asarray(support.x), 2 / 7 * np.asarray(support.x.T @ support.x)
        at_support = 2 / 7 * x.T @ (x @ w - support.y)
        at_query = 2 / 9 * np.asarray(query.x).T @ (np.asarray(query.x) @ (w - alpha * at_support) - query.y)
        turn = np.eye(5) if first_order else np.eye(5) - hessian @ np.diag(alpha)
        np.testing.assert_allclose(gradient["net"]["w"], turn @ at_query, rtol=1e-9)
        np.testing.assert_allclose(gradient["rates"]["w"], -at_support * at_query, rtol=1e-9)


def test_a_rate_may_become_negative():
    """Support says 1, query says -1: from 0 the support's gradient is -2, and -0.5 is the rate that leads to -1."""
    with jax.enable_x64(True):
        rule = meta_sgd(Linear(), objectives.squared_error, lr=0.1)
        episode = Episode(examples([[1.0]], [1.0]), examples([[1.0]], [-1.0]))
        params = {"net": {"w": jnp.zeros(1)}, "rates": {"w": jnp.array([0.1])}}
        slope = jax.jit(jax.grad(lambda p: rule.loss(p, episode, None)[0]))
        for _ in range(60):
            params["rates"] = {"w": params["rates"]["w"] - 0.05 * slope(params)["rates"]["w"]}
        np.testing.assert_allclose(params["rates"]["w"], [-0.5], atol=1e-6)
