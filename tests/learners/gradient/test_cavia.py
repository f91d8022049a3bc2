"""The context by hand: from 0 always, and the user's mean residual where the context is a bias."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import examples, rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.cavia import cavia
from metarec_jax.types import Episode


class WithContext(nn.Module):
    """x [N, D] -> x . w + task . v, linear in weights and context."""

    @nn.compact
    def __call__(self, x):
        task = self.param("task", nn.initializers.zeros, (2,), jnp.float64)
        reading = self.param("v", nn.initializers.ones, (2,), jnp.float64)
        return x @ self.param("w", nn.initializers.ones, (x.shape[-1],), jnp.float64) + task @ reading


SUPPORT = ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [2.0, 4.0, 3.0])
QUERY = ([[2.0, 1.0], [-1.0, 1.0]], [5.0, 1.0])


@pytest.mark.parametrize("start", [0.0, 7.0])
def test_one_step_from_zero_by_hand(start):
    """w = (1, 2) errs by 1 - 2, 2 - 4, 3 - 3: on average by -1. The context's gradient is 2 * -1 * v, whatever `params`
    hold for the context, so phi = 0.3 * 2 * v = (0.6, -1.2) and every prediction rises by phi . v = 0.6 + 2.4."""
    with jax.enable_x64(True):
        params = {"w": jnp.array([1.0, 2.0]), "v": jnp.array([1.0, -2.0]), "task": jnp.array([start, -start])}
        rule = cavia(WithContext(), objectives.squared_error, lr=0.3)
        fast = rule.adapt(params, examples(*SUPPORT))
        np.testing.assert_allclose(fast["task"], [0.6, -1.2], rtol=1e-12)
        np.testing.assert_array_equal(fast["w"], params["w"])
        np.testing.assert_array_equal(fast["v"], params["v"])
        np.testing.assert_allclose(rule.predict(fast, jnp.array([[2.0, 1.0]])), [4 + 3], rtol=1e-12)


def test_meta_gradient_has_its_closed_form_and_is_zero_for_the_context():
    """With v = (1, 0) and a rate of 1/2 the context is the support's mean residual r, so that the query's error is
    e = x w + r - y and the gradient of w is the mean of 2 e (x - mean x_support): each x minus the user's mean x."""
    with jax.enable_x64(True):
        params = {"w": jnp.array([1.0, 2.0]), "v": jnp.array([1.0, 0.0]), "task": jnp.array([3.0, -3.0])}
        rule = cavia(WithContext(), objectives.squared_error, lr=0.5)
        episode = Episode(examples(*SUPPORT), examples(*QUERY))
        fast = rule.adapt(params, episode.support)
        np.testing.assert_allclose(fast["task"], [1.0, 0.0], rtol=1e-12)
        gradient = jax.grad(lambda p: rule.loss(p, episode, None)[0])(params)
        error = np.array([4 + 1 - 5.0, 1 + 1 - 1.0])
        centred = np.array(QUERY[0]) - np.mean(SUPPORT[0], 0)
        np.testing.assert_allclose(gradient["w"], error @ centred, rtol=1e-12)  # 2 / 2 queries
        np.testing.assert_array_equal(gradient["task"], 0)


def test_no_support_is_the_zero_context():
    with jax.enable_x64(True):
        params = {"w": jnp.array([1.0, 2.0]), "v": jnp.array([1.0, -2.0]), "task": jnp.array([7.0, 7.0])}
        rule = cavia(WithContext(), objectives.squared_error, lr=0.3, steps=3)
        support = examples(*SUPPORT)
        fast = rule.adapt(params, support._replace(mask=jnp.zeros(3)))
        np.testing.assert_array_equal(fast["task"], 0)


def test_only_the_context_of_a_rating_network_moves():
    episode = rating_task(np.random.default_rng(0))
    rule = cavia(rating_net(task_dim=3), objectives.squared_error, lr=0.5, steps=2)
    params = rule.init(jax.random.key(0), episode)
    fast = rule.adapt(params, episode.support)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), params, fast)
    assert not same["encoder"].pop("task")
    assert all(jax.tree.leaves(same))


def test_a_network_without_a_context_is_an_error():
    rule = cavia(rating_net(), objectives.squared_error, lr=0.5)
    with pytest.raises(ValueError, match="'task'"):
        rule.init(jax.random.key(0), rating_task(np.random.default_rng(0)))
