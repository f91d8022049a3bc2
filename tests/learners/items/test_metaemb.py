"""MetaEmb's two losses by hand, and its gradient, through the step, against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import Raters, perturbed, rated_item

from metarec_jax import objectives
from metarec_jax.learners.items.metaemb import metaemb
from metarec_jax.types import Episode

CONTEXT = [1.0, 2.0]


def one_dimensional(dtype=jnp.float32) -> Episode:
    """Two raters with the vectors 1 and 2 in the support, one with the vector 1 in the query."""
    support = rated_item([[1.0], [2.0]], [4.0, 6.0], CONTEXT, dtype=dtype)
    return Episode(support, rated_item([[1.0]], [5.0], CONTEXT, ids=[5], dtype=dtype))


def generating(value: float, rule, episode: Episode):
    """Parameters with which the generator says `value` whatever the side features."""
    params = jax.tree.map(jnp.zeros_like, jax.jit(rule.init)(jax.random.key(0), episode))
    params["generator"]["out"]["bias"] = jnp.full((1,), value)
    return params


def test_both_losses_by_hand():
    """phi = 1 around a prior mean of 3: support residuals 1 and 3, errors 0 and -1, l_a = 1/2. Its gradient is
    (0 * 1 - 1 * 2) * 2 / 2 = -2; a step of 0.1 ends in 1.2. The query's residual is 2, so that l_b = 0.64."""
    episode = one_dimensional()
    rule = metaemb(Raters(), objectives.squared_error, lr=0.1, cold_weight=0.25)
    params = generating(1.0, rule, episode)
    loss, metrics = rule.loss(params, episode, jax.random.key(0))
    np.testing.assert_allclose(metrics["cold"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(metrics["warm"], 0.64, rtol=1e-5)
    np.testing.assert_allclose(loss, 0.25 * 0.5 + 0.75 * 0.64, rtol=1e-5)
    fast = rule.adapt(params, episode.support)
    np.testing.assert_allclose(rule.predict(fast, episode.query.x), [3 + 1.2], rtol=1e-6)


def test_meta_gradient_has_its_closed_form():
    """phi' = phi - 0.1 * (5 phi - 7), so that d phi' / d phi = 1/2: at phi = 1 the gradient of l_b is
    2 (1.2 - 2) / 2 = -0.8, that of l_a -2. A first-order one would be -1.6."""
    episode = one_dimensional()
    for weight, expected in ((0.0, -0.8), (1.0, -2.0), (0.25, -1.1)):
        rule = metaemb(Raters(), objectives.squared_error, lr=0.1, cold_weight=weight)
        slope = jax.grad(lambda p, rule=rule: jax.jit(rule.loss)(p, episode, jax.random.key(0))[0])(
            generating(1.0, rule, episode)
        )
        np.testing.assert_allclose(slope["generator"]["out"]["bias"], [expected], rtol=1e-5)


def test_without_a_support_the_loss_is_of_the_query_at_the_generated_embedding():
    episode = one_dimensional()
    rule = metaemb(Raters(), objectives.squared_error, lr=0.1, cold_weight=0.25)
    none = episode.support._replace(mask=jnp.zeros(2))
    loss, metrics = rule.loss(generating(1.0, rule, episode), Episode(none, episode.query), jax.random.key(0))
    assert metrics["cold"] == 0
    np.testing.assert_allclose(loss, 0.75 * 1.0, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_gradient_of_the_generator_equals_finite_differences(steps):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        parts = [rated_item(rng.normal(size=(n, 3)), rng.normal(size=n), CONTEXT, dtype=jnp.float64) for n in (4, 5)]
        episode = Episode(*parts)
        rule = metaemb(Raters(), objectives.squared_error, lr=0.2, steps=steps, hidden=(6,))
        params = perturbed(jax.jit(rule.init)(jax.random.key(0), episode), 2)

        @jax.jit
        def loss(params):
            return rule.loss(params, episode, jax.random.key(0))[0]

        gradient = jax.grad(loss)(params)
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
        ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * 1e-6 * d, params, direction) for s in (1, -1))
        slope = (loss(ahead) - loss(behind)) / 2e-6
        along = sum(jnp.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        assert abs(slope) > 1e-2
        np.testing.assert_allclose(along, slope, rtol=1e-6)
