"""Prototypes by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax import objectives
from metarec_jax.learners.metric.protonet import (
    distances,
    protonet,
    protonet_ratings,
    shrunk_levels,
)
from metarec_jax.params import FIXED
from metarec_jax.types import Examples

# Five vectors each of cats, dogs and birds, and a query that is rather a cat. The example goes round with the
# probabilities .98/.02/.00 beside it, which is not what its own formula gives: the distances are far too small for so
# sharp a softmax. The right figures are below, for both readings of "Euclidean distance".
PROTOTYPES = np.array([[0.8, 0.2, 0, 0], [0.2, 0.8, 0, 0], [0, 0.2, 0.8, 0]], np.float32)
OFFSETS = np.array([-0.1, -0.05, 0.0, 0.05, 0.1], np.float32)
SUPPORT = PROTOTYPES[:, None, :] + OFFSETS[:, None] * np.array([1.0, -1, 0, 0], np.float32)
QUERY = np.array([0.7, 0.2, 0.1, 0.0], np.float32)


class Identity(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("distance", "expected"),
    [("squared_euclidean", [0.518, 0.284, 0.198]), ("euclidean", [0.512, 0.268, 0.219])],
)
def test_cat_dog_bird(distance, expected):
    rule = protonet(Identity(), objectives.cross_entropy, ways=3, distance=distance)
    y = jnp.repeat(jnp.arange(3), 5)
    fast = rule.adapt({"net": {}, "log_temperature": 0.0}, Examples(SUPPORT.reshape(15, 4), y, jnp.ones(15)))
    np.testing.assert_allclose(fast["prototypes"], PROTOTYPES, atol=1e-6)
    probabilities = jnp.exp(rule.predict(fast, jnp.broadcast_to(QUERY, (2, 4))))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities[0], expected, atol=6e-4)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)


def test_a_class_without_support_is_never_predicted():
    rule = protonet(Identity(), objectives.cross_entropy, ways=3)
    y, mask = jnp.repeat(jnp.arange(3), 5), jnp.repeat(jnp.array([1.0, 1.0, 0.0]), 5)
    fast = rule.adapt({"net": {}, "log_temperature": 0.0}, Examples(SUPPORT.reshape(15, 4), y, mask))
    found = jnp.exp(rule.predict(fast, PROTOTYPES[2:]))[0]
    assert found[2] == 0
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)


def test_distances_by_hand():
    points, prototypes = jnp.array([[3.0, 4.0]]), jnp.array([[0.0, 0.0], [6.0, 8.0], [-4.0, 3.0]])
    np.testing.assert_allclose(distances(points, prototypes, "squared_euclidean"), [[25, 25, 50]])
    np.testing.assert_allclose(distances(points, prototypes, "euclidean"), [[5, 5, 50**0.5]], rtol=1e-6)
    np.testing.assert_allclose(distances(points, prototypes[1:], "cosine"), [[0, 1]], atol=1e-6)
    with pytest.raises(ValueError, match="none of"):
        distances(points, prototypes, "manhattan")  # type: ignore[arg-type]


def test_euclidean_distance_has_a_finite_slope_on_the_prototype():
    point = jnp.array([[1.0, 2.0]])
    slope = jax.grad(lambda p: distances(p, point, "euclidean").sum())(point)
    assert jnp.isfinite(slope).all()


def test_rating_prototypes_are_shrunk_means():
    """Two fives at x = 1 and 2 and a pseudo-count of 2 around 0: (0 * 2 + 1 + 2) / (2 + 2) = 0.75."""
    rule = protonet_ratings(Identity(), objectives.squared_error, levels=(1.0, 5.0), prior_count=2.0)
    params = {
        "net": {},
        "prototypes": jnp.array([[-1.0], [0.0]]),
        "log_count": jnp.log(2.0),
        "log_share_count": jnp.log(2.0),
        "shares": jnp.zeros(2),
        "log_temperature": jnp.zeros(()),
        FIXED: {"levels": jnp.array([1.0, 5.0])},
    }
    support = Examples(jnp.array([[1.0], [2.0], [9.0]]), jnp.array([5.0, 5.0, 1.0]), jnp.array([1.0, 1.0, 0.0]))
    fast = rule.adapt(params, support)
    prototypes, log_shares = shrunk_levels(params, fast["sums"], fast["counts"])
    np.testing.assert_allclose(prototypes, [[-1.0], [0.75]], rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(log_shares), [0.25, 0.75], rtol=1e-6)  # (1 + 0, 1 + 2) / 4
    weight = np.array([0.25 * np.exp(-4.0), 0.75 * np.exp(-0.0625)])  # at x = 1
    expected = weight @ [1, 5] / weight.sum()
    np.testing.assert_allclose(rule.predict(fast, jnp.array([[1.0]])), [expected], rtol=1e-5)
