"""Attention by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax import objectives
from metarec_jax.learners.metric.matching import matching, matching_ratings
from metarec_jax.types import Episode, Examples


class Identity(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


class WithMean(nn.Module):
    """Embeddings and a prior mean of 3."""

    @nn.compact
    def __call__(self, x):
        return x, jnp.full(len(x), 3.0)


SUPPORT = jnp.array([[2.0, 0.0], [0.0, 0.5], [0.0, -1.0]])  # cosines to [1, 0]: 1, 0, 0; to [0, 3]: 0, 1, -1
QUERY = jnp.array([[1.0, 0.0], [0.0, 3.0]])
PARAMS = {"net": {}, "log_temperature": jnp.zeros(())}


def test_the_classifier_sums_the_attention_of_each_class():
    rule = matching(Identity(), objectives.cross_entropy, ways=3)
    fast = rule.adapt(PARAMS, Examples(SUPPORT, jnp.array([0, 1, 1]), jnp.ones(3)))
    e = np.e
    expected = [[e / (e + 2), 2 / (e + 2), 0], [1 / (1 + e + 1 / e), (e + 1 / e) / (1 + e + 1 / e), 0]]
    np.testing.assert_allclose(jnp.exp(rule.predict(fast, QUERY)), expected, rtol=1e-5)


def test_the_classifier_s_loss_is_the_log_of_the_sum_and_its_slope_is_finite():
    """Even where a class has no support."""
    rule = matching(Identity(), objectives.cross_entropy, ways=3)
    support = Examples(SUPPORT, jnp.array([0, 1, 1]), jnp.array([1.0, 1.0, 0.0]))
    episode = Episode(support, Examples(QUERY, jnp.array([0, 1]), jnp.ones(2)))
    loss, slope = jax.value_and_grad(lambda params: rule.loss(params, episode, jax.random.key(0))[0])(PARAMS)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-1.0)), rtol=1e-5)  # the other one is ahead by a cosine of 1
    np.testing.assert_allclose(slope["log_temperature"], 1 / (1 + np.e), rtol=1e-5)


def ratings(**changes):
    params = PARAMS | {"null": jnp.log(3.0), "log_bias_count": jnp.log(2.0)} | changes
    return matching_ratings(WithMean(), objectives.squared_error), params


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_ratings_are_mean_and_bias_and_attended_residuals(temperature):
    """Residuals 2, 1 and a pseudo-count of 2: the bias is 3 / 4, and 1.25 and 0.25 lie above it."""
    rule, params = ratings(log_temperature=jnp.log(temperature))
    support = Examples(SUPPORT, jnp.array([5.0, 4.0, 1.0]), jnp.array([1.0, 1.0, 0.0]))
    found = rule.predict(rule.adapt(params, support), QUERY)
    near = np.exp(1 / temperature)
    attended = np.array([near * 1.25 + 0.25, 1.25 + near * 0.25]) / (near + 1 + 3)
    np.testing.assert_allclose(found, 3.75 + attended, rtol=1e-5)


def test_nothing_alike_leaves_mean_and_bias_and_no_rating_the_mean():
    rule, params = ratings(null=jnp.float32(50.0))
    support = Examples(SUPPORT, jnp.array([5.0, 4.0, 1.0]), jnp.ones(3))
    np.testing.assert_allclose(rule.predict(rule.adapt(params, support), QUERY), 3 + 1 / 5, rtol=1e-5)
    nothing = support._replace(mask=jnp.zeros(3))
    np.testing.assert_allclose(rule.predict(rule.adapt(params, nothing), QUERY), 3, rtol=1e-6)


def test_a_low_temperature_without_null_copies_the_nearest_rating():
    rule, params = ratings(null=jnp.float32(-50.0), log_temperature=jnp.log(0.01))
    support = Examples(SUPPORT, jnp.array([5.0, 4.0, 1.0]), jnp.ones(3))
    np.testing.assert_allclose(rule.predict(rule.adapt(params, support), QUERY), [5, 4], rtol=1e-5)
