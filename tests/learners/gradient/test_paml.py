"""Initial weights and rates that depend on the context: MAML where they do not, and by hand where they do."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from context_tasks import NET, ContentLinear, predict, task_of_user, with_random_parts
from flax import traverse_util

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.melu import is_embedding
from metarec_jax.learners.gradient.paml import ContextCode, paml
from metarec_jax.ops.rows import map_rows
from metarec_jax.params import is_id_table
from metarec_jax.types import Episode, Examples, Inputs


@pytest.mark.parametrize("context", [(0.5, -1.0), ()])
def test_it_starts_as_maml(context):
    """Predictions and the meta-gradient of the weights, with and without user features."""
    episode = task_of_user(context)
    ours, theirs = (rule(NET, objectives.squared_error, lr=0.1, steps=2, prior_count=2.0) for rule in (paml, maml))
    params = jax.jit(ours.init)(jax.random.key(0), episode)
    key = jax.random.key(1)
    value, gradient = jax.jit(jax.value_and_grad(lambda p: ours.loss(p, episode, key)[0]))(params)
    expected_value, expected = jax.jit(jax.value_and_grad(lambda p: theirs.loss(p, episode, key)[0]))(params["net"])
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    chex.assert_trees_all_close(gradient["net"], expected, atol=1e-5)
    moved = [np.abs(leaf).max() for leaf in jax.tree.leaves(gradient["offsets"])]
    assert all(moved) if context else not any(moved)  # without features the code is 0
    assert all(np.abs(leaf[0]) > 0 for leaf in jax.tree.leaves(gradient["log_rates"]))


def test_what_is_personal_has_offsets_and_what_moves_has_rates():
    def paths(part: str, **how) -> set:
        rule = paml(NET, objectives.squared_error, lr=0.1, **how)
        params = jax.eval_shape(rule.init, jax.random.key(0), task_of_user())
        return set(traverse_util.flatten_dict(params[part]))

    assert paths("offsets") == {("head", "kernel"), ("head", "bias")}
    decision = paths("offsets", personal=lambda path: not is_embedding(path))
    assert {path[-2] for path in decision} == {"layer_0", "head"}
    assert paths("log_rates") == {path for path in paths("net") if not is_id_table(path)}


@pytest.mark.parametrize("name", ["offsets", "log_rates"])
def test_users_with_the_same_ratings_and_other_features_adapt_otherwise(name):
    """To offsets and to rates alike; the network itself is made blind to the context here."""
    one, other = task_of_user((0.5, -1.0)), task_of_user((-2.0, 1.0))
    rule = paml(NET, objectives.squared_error, lr=0.1, prior_count=2.0)
    params, adapt = jax.jit(rule.init)(jax.random.key(0), one), jax.jit(rule.adapt)
    params["net"]["encoder"]["context"] = jax.tree.map(jnp.zeros_like, params["net"]["encoder"]["context"])
    before, after = (
        [adapt(p, episode.support)["head"]["bias"] for episode in (one, other)]
        for p in (params, with_random_parts(params, name))
    )
    assert np.abs(before[0] - before[1]).max() < 1e-6
    assert np.abs(after[0] - after[1]).max() > 1e-3


def test_the_entries_of_the_code_add_up_to_one_at_most():
    params = {"Dense_0": {"kernel": jnp.array([[1.0, -20.0]]), "bias": jnp.array([0.5, 0.0])}}
    code = ContextCode(2).apply({"params": params}, jnp.array([0.5]))
    np.testing.assert_allclose(code, [np.tanh(1.0) / 2, -0.5], rtol=1e-6)


def test_rates_and_offsets_by_hand():
    """One feature, weight and rating: code tanh(1 * 0.5), w = 2 + 3 tanh(0.5), rate 0.1 exp(0.2 + 0.4 tanh(0.5))."""
    x = Inputs(jnp.zeros(1, jnp.int32), jnp.array([[2.0]]), jnp.array([0.5]))
    support = Examples(x, jnp.array([1.0]), jnp.ones(1))
    rule = paml(
        ContentLinear(), objectives.squared_error, lr=0.1, code_dim=1, personal=lambda path: True, prior_count=1.0
    )
    params = {
        "net": {"w": jnp.array([2.0])},
        "code": {"Dense_0": {"kernel": jnp.array([[1.0]]), "bias": jnp.zeros(1)}},
        "offsets": {"w": jnp.array([[3.0]])},
        "log_rates": {"w": jnp.array([0.2, 0.4])},
    }
    chex.assert_trees_all_equal_shapes(params, jax.jit(rule.init)(jax.random.key(0), Episode(support, support)))
    code = np.tanh(0.5)
    w, rate = 2 + 3 * code, 0.1 * np.exp(0.2 + 0.4 * code)
    slope = 2 * 2.0 * (2.0 * w - 1.0) / 2  # one rating and one pseudo-rating
    np.testing.assert_allclose(predict(rule, params, support, x), [2.0 * (w - rate * slope)], rtol=1e-6)


def test_an_empty_support_gives_the_users_own_start():
    """Whether it has no rows or only padding."""
    episode = task_of_user()
    rule = paml(NET, objectives.squared_error, lr=0.1)
    params = with_random_parts(jax.jit(rule.init)(jax.random.key(0), episode), "offsets", "log_rates")
    none = map_rows(lambda leaf: leaf[:0], episode.support)
    padding = map_rows(lambda leaf: leaf * 0 + 7, episode.support)._replace(mask=jnp.zeros(6))
    code = ContextCode(8).apply({"params": params["code"]}, jnp.array([0.5, -1.0]))
    flat, offsets = (traverse_util.flatten_dict(params[name]) for name in ("net", "offsets"))
    own = flat | {path: flat[path] + np.einsum("s,s...->...", code, bank) for path, bank in offsets.items()}
    expected = NET.apply({"params": traverse_util.unflatten_dict(own)}, episode.query.x)
    for support in (none, padding):
        np.testing.assert_allclose(predict(rule, params, support, episode.query.x), expected, atol=1e-5)
    plain = NET.apply({"params": params["net"]}, episode.query.x)
    assert np.abs(expected - plain).max() > 0.1


def test_nothing_personal_is_an_error():
    rule = paml(NET, objectives.squared_error, lr=0.1, personal=lambda path: False)
    with pytest.raises(ValueError, match="personal"):
        jax.jit(rule.init)(jax.random.key(0), task_of_user())
