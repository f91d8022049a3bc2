"""Class means of liked and disliked items, and the two learners on them, by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax import objectives
from metarec_jax.learners.metric.lwa import lwa, prototypes
from metarec_jax.learners.metric.nlba import nlba
from metarec_jax.models.recommender import TasteNet
from metarec_jax.types import Episode, Examples, Inputs

# Liking is all or nothing, the threshold 0, and pseudo-counts are 1, around a prior mean of 3: residuals 2, -1, -1 have
# the bias 0 / 4 = 0, the first is liked and the others disliked, and R1 = x_1 / 2, R0 = (x_2 + x_3) / 3.
SHARP = {"log_bias_count": 0.0, "log_count": 0.0, "threshold": jnp.zeros(()), "log_width": jnp.log(0.001)}
X = jnp.array([[2.0, 4.0], [3.0, 0.0], [0.0, 6.0], [50.0, 50.0]])
SUPPORT = Examples(X, jnp.array([5.0, 2.0, 2.0, 5.0]), jnp.array([1.0, 1.0, 1.0, 0.0]))
QUERY = jnp.array([[1.0, 0.0], [1.0, 1.0]])


class WithMean(nn.Module):
    """Features and a prior mean of 3."""

    @nn.compact
    def __call__(self, x):
        return x, jnp.full(len(x), 3.0)


def test_class_means_are_shrunk():
    found = prototypes(SHARP, X, SUPPORT.y - 3.0, SUPPORT.mask)
    np.testing.assert_allclose(found.bias, 0, atol=1e-7)
    np.testing.assert_allclose(found.liked, [1, 2], rtol=1e-6)
    np.testing.assert_allclose(found.disliked, [1, 2], rtol=1e-6)


def test_liking_is_soft_and_relative_to_the_user_s_own_bias():
    """Residuals 3 and 1 with a pseudo-count of 2: bias 1, so that degrees are sigmoid(2 / 2) and sigmoid(0) = 1/2."""
    params = SHARP | {"log_bias_count": jnp.log(2.0), "log_width": jnp.log(2.0)}
    found = prototypes(params, X[:2], jnp.array([3.0, 1.0]), jnp.ones(2))
    degree = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(found.bias, 1, rtol=1e-6)
    np.testing.assert_allclose(found.liked, (degree * X[0] + 0.5 * X[1]) / (1 + degree + 0.5), rtol=1e-5)
    np.testing.assert_allclose(found.disliked, ((1 - degree) * X[0] + 0.5 * X[1]) / (2.5 - degree), rtol=1e-5)


def test_lwa_is_linear_in_the_class_means():
    params = SHARP | {"net": {}, "constant": 0.5, "of_disliked": -2.0, "of_liked": 0.5}
    rule = lwa(WithMean(), objectives.squared_error)
    fast = rule.adapt(params, SUPPORT)
    np.testing.assert_allclose(fast["weights"], -2.0 * np.array([1, 2]) + 0.5 * np.array([1, 2]), rtol=1e-5)
    np.testing.assert_allclose(rule.predict(fast, QUERY), [3.5 - 1.5, 3.5 - 4.5], rtol=1e-5)


def test_nlba_adapts_the_biases_only():
    params = SHARP | {
        "net": {},
        "hidden": jnp.array([[1.0, -1.0], [0.0, 2.0]]),
        "hidden_of_disliked": jnp.array([[1.0, 0.0], [0.0, 0.0]]),
        "hidden_of_liked": jnp.array([[0.0, 0.0], [0.0, -0.25]]),
        "output": jnp.array([1.0, 10.0]),
        "output_of_disliked": jnp.array([0.0, 0.25]),
        "output_of_liked": jnp.array([-1.0, 0.0]),
    }
    rule = nlba(WithMean(), objectives.squared_error)
    fast = rule.adapt(params, SUPPORT)
    np.testing.assert_allclose(fast["hidden_bias"], [1, -0.5], rtol=1e-5)
    np.testing.assert_allclose(fast["output_bias"], 0.5 - 1, rtol=1e-5)
    # Hidden units of [1, 0]: relu(1 + 1), relu(-1 - 0.5); of [1, 1]: relu(1 + 1), relu(-1 + 2 - 0.5).
    np.testing.assert_allclose(rule.predict(fast, QUERY), [3 - 0.5 + 2, 3 - 0.5 + 2 + 5], rtol=1e-5)


@pytest.mark.parametrize("make", [lwa, nlba])
def test_both_start_at_prior_mean_and_bias(make):
    """NLBA's score is 0 at first, and LWA's in any case without ratings."""
    rule = make(TasteNet(4, mean=3.0, dim=2), objectives.squared_error, prior_count=1.0)
    x = Inputs(jnp.arange(4), jnp.zeros((4, 0)), jnp.zeros(0))
    support = SUPPORT._replace(x=x, y=jnp.array([5.0, 4.0, 3.0, 1.0]), mask=jnp.array([1.0, 1.0, 1.0, 0.0]))
    params = rule.init(jax.random.key(0), Episode(support, support))
    cold, warm = (rule.adapt(params, support._replace(mask=mask)) for mask in (jnp.zeros(4), support.mask))
    np.testing.assert_allclose(rule.predict(cold, x), 3, rtol=1e-6)
    if make is nlba:
        np.testing.assert_allclose(rule.predict(warm, x), 3 + (2 + 1 + 0) / (3 + 1), rtol=1e-6)
