"""Attention to the profile memory by hand, and MAML where the memory is empty."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from context_tasks import NET, ContentLinear, predict, task_of_user, with_random_parts
from flax import traverse_util

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.mamo import ProfileAttention, mamo
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Episode, Examples, Inputs

KEYS = jnp.array([[3.0, 0.0], [0.0, 0.1], [-1.0, 0.0]])


def attention(profile, temperature: float = 1.0, keys=KEYS):
    params = {"keys": keys, "log_temperature": jnp.log(temperature)}
    return ProfileAttention(len(keys)).apply({"params": params}, jnp.asarray(profile))


def test_attention_by_hand():
    """Cosines of (2, 0) with the keys are 1, 0, -1, whatever the lengths; softmax: e, 1, 1/e over their sum."""
    weights = np.array([np.e, 1.0, 1 / np.e])
    np.testing.assert_allclose(attention([2.0, 0.0]), weights / weights.sum(), rtol=1e-5)
    sharp = weights**4
    np.testing.assert_allclose(attention([2.0, 0.0], temperature=0.25), sharp / sharp.sum(), rtol=1e-5)
    half = np.exp([0.5**0.5, 0.5**0.5, -(0.5**0.5)])
    np.testing.assert_allclose(attention([1.0, 1.0]), half / half.sum(), rtol=1e-5)


def test_without_a_profile_the_attention_is_uniform():
    np.testing.assert_allclose(attention([0.0, 0.0]), np.full(3, 1 / 3), rtol=1e-6)
    np.testing.assert_allclose(attention(jnp.zeros(0), keys=jnp.zeros((4, 0))), np.full(4, 0.25), rtol=1e-6)
    slope = jax.grad(lambda keys: attention([0.0, 0.0], keys=keys)[0])(KEYS)
    assert np.isfinite(slope).all()


def test_an_empty_memory_is_maml():
    episode, key = task_of_user(), jax.random.key(1)
    ours, theirs = (rule(NET, objectives.squared_error, lr=0.1, steps=2, prior_count=2.0) for rule in (mamo, maml))
    params = jax.jit(ours.init)(jax.random.key(0), episode)
    value, gradient = jax.jit(jax.value_and_grad(lambda p: ours.loss(p, episode, key)[0]))(params)
    expected_value, expected = jax.jit(jax.value_and_grad(lambda p: theirs.loss(p, episode, key)[0]))(params["net"])
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    chex.assert_trees_all_close(gradient["net"], expected, atol=1e-5)


def test_what_is_written_into_a_slot_is_the_attention_times_the_gradient_of_the_weights():
    episode = task_of_user()
    rule = mamo(NET, objectives.squared_error, lr=0.1, slots=3)
    params = jax.jit(rule.init)(jax.random.key(0), episode)
    params = with_random_parts(params, "offsets")
    gradient = jax.jit(jax.grad(lambda p: rule.loss(p, episode, jax.random.key(1))[0]))(params)
    weights = ProfileAttention(3).apply({"params": params["code"]}, episode.query.x.context)
    assert np.ptp(weights) > 0.1
    for path, bank in traverse_util.flatten_dict(gradient["offsets"]).items():
        of_weights = traverse_util.flatten_dict(gradient["net"])[path]
        np.testing.assert_allclose(bank, np.multiply.outer(weights, of_weights), rtol=1e-3, atol=1e-6)


def test_the_memory_holds_the_users_embedding_and_the_mixing_matrix():
    rule = mamo(NET, objectives.squared_error, lr=0.1, slots=3)
    params = jax.eval_shape(rule.init, jax.random.key(0), task_of_user())
    shapes = {path[-2:]: leaf.shape for path, leaf in traverse_util.flatten_dict(params["offsets"]).items()}
    width = 4 + 4 + 4  # item vector, content, user: side by side
    assert shapes == {
        ("context", "kernel"): (3, 2, 4),
        ("context", "bias"): (3, 4),
        ("layer_0", "kernel"): (3, width, 6),
        ("layer_0", "bias"): (3, 6),
    }
    assert params["code"]["keys"].shape == (3, 2)


def test_two_types_of_user_by_hand():
    """Two opposite keys at a low temperature: each user gets the offset and the rate of their own type, K = 0 or 1."""
    rule = mamo(ContentLinear(), objectives.squared_error, lr=0.1, slots=2, remembered=lambda path: True)
    params = {
        "net": {"w": jnp.array([1.0])},
        "code": {"keys": jnp.array([[1.0], [-1.0]]), "log_temperature": jnp.log(0.02)},
        "offsets": {"w": jnp.array([[0.5], [-2.0]])},
        "log_rates": {"w": jnp.array([0.0, jnp.log(2.0), jnp.log(0.5)])},
    }

    def user(sign: float) -> Examples:
        x = Inputs(jnp.zeros(1, jnp.int32), jnp.ones((1, 1)), jnp.full(1, sign))
        return Examples(x, jnp.array([3.0]), jnp.ones(1))

    chex.assert_trees_all_equal_shapes(params, jax.jit(rule.init)(jax.random.key(0), Episode(user(1.0), user(1.0))))
    for sign, w, rate in ((1.0, 1.5, 0.2), (-1.0, -1.0, 0.05)):
        support = user(sign)
        none = map_rows(lambda leaf: leaf[:0], support)
        np.testing.assert_allclose(predict(rule, params, none, support.x), [w], rtol=1e-5)
        np.testing.assert_allclose(predict(rule, params, support, support.x), [w - rate * 2 * (w - 3)], rtol=1e-5)


def test_users_with_the_same_ratings_and_other_profiles_adapt_otherwise():
    one, other = task_of_user((0.5, -1.0)), task_of_user((-2.0, 1.0))
    rule = mamo(NET, objectives.squared_error, lr=0.1)
    params, adapt = jax.jit(rule.init)(jax.random.key(0), one), jax.jit(rule.adapt)
    params["net"]["encoder"]["context"] = jax.tree.map(jnp.zeros_like, params["net"]["encoder"]["context"])
    blind, remembering = (
        [adapt(p, episode.support)["head"]["bias"] for episode in (one, other)]
        for p in (params, with_random_parts(params, "offsets"))
    )
    assert np.abs(blind[0] - blind[1]).max() < 1e-6
    assert np.abs(remembering[0] - remembering[1]).max() > 1e-3
