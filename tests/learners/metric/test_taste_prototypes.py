"""Prototypes with a crowding discount."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import ITEMS, LEARNERS, trusted_net

from metarec_jax import objectives
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.learners.metric.taste_prototypes import crowded_prototypes, taste_prototypes
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.trust import ItemNoise
from metarec_jax.ops.linear import ridge_weights
from metarec_jax.types import Examples, Inputs

RNG = np.random.default_rng(0)
PHI, R = jnp.float32(RNG.normal(size=(12, 5)) * 0.5), jnp.float32(RNG.normal(size=12))
NOISE = jnp.float32(RNG.uniform(0.4, 1.5, 12))
MASK = jnp.float32([1] * 9 + [0] * 3)


def test_fifty_rounds_are_the_posterior_of_the_gaussian_process():
    with jax.enable_x64(True):
        given = [jnp.asarray(np.float64(values)) for values in (PHI, R, MASK, NOISE)]
        np.testing.assert_allclose(crowded_prototypes(*given, rounds=50), ridge_weights(*given), atol=1e-5)


def test_each_round_comes_nearer():
    far = [
        np.linalg.norm(crowded_prototypes(PHI, R, MASK, NOISE, rounds) - ridge_weights(PHI, R, MASK, NOISE))
        for rounds in (1, 2, 4, 8, 16)
    ]
    assert far == sorted(far, reverse=True)


def test_crowds_of_alike_examples_do_not_diverge():
    """Twenty copies of one example: a plain Jacobi step would overshoot twentyfold."""
    phi, r = jnp.tile(PHI[:1], (20, 1)), jnp.ones(20)
    found = crowded_prototypes(phi, r, jnp.ones(20), jnp.float32(0.5), 3)
    np.testing.assert_allclose(found, ridge_weights(phi, r, jnp.ones(20), jnp.float32(0.5)), rtol=0.05)


def test_one_round_is_liked_less_disliked_each_over_its_neighbourhood():
    phi = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]])
    r, noise = np.array([1.0, -2.0, 0.5]), 0.5
    crowd = noise + np.array([1 + 0.5 + 0, 0.5 + 0.5 + 1.0, 0 + 1.0 + 4.0])
    expected = (r / crowd) @ phi
    found = crowded_prototypes(*map(jnp.float32, (phi, r, np.ones(3), noise)), rounds=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_rating_of_weight_two_is_two_ratings():
    twice = [jnp.concatenate([values, values[:1]]) for values in (PHI, R, MASK, NOISE)]
    weighed = crowded_prototypes(PHI, R, MASK.at[0].set(2.0), NOISE, 3)
    np.testing.assert_allclose(weighed, crowded_prototypes(*twice, rounds=3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [0, 6])
def test_many_rounds_predict_as_the_ridge_head_does(size):
    prior, noise = ChoicePrior(ITEMS, 6, width=4), ItemNoise(ITEMS)
    parts = {"prior": prior, "item_noise": noise}
    slow = taste_prototypes(trusted_net(), objectives.squared_error, rounds=400, **parts)
    head = ridge(trusted_net(), objectives.squared_error, **parts)
    x = Inputs(jnp.arange(6), jnp.float32(RNG.normal(size=(6, 2))), jnp.ones(3))
    support = Examples(x, jnp.float32(RNG.uniform(1, 6, 6)), jnp.ones(6).at[size:].set(0.0))
    episode = type("Task", (), {"support": support})
    params = slow.init(jax.random.key(0), episode)
    params["prior"]["expected"]["kernel"] += 0.1
    found, expected = (rule.predict(rule.adapt(params, support), x) for rule in (slow, head))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_learner_of_the_table_has_no_update_because_crowds_change_with_every_rating():
    assert LEARNERS["taste_prototypes"]().update is None
