"""The head moves as worked out by hand, the body does not, and the body learns through the head's step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from toy_tasks import rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.anil import anil
from metarec_jax.models.recommender import Encoder


def made(**inner):
    episode, net = rating_task(np.random.default_rng(0)), rating_net()
    rule = anil(net, objectives.squared_error, lr=0.1, **inner)
    return rule, jax.jit(rule.init)(jax.random.key(0), episode), episode


def test_the_head_takes_the_step_of_linear_regression_on_the_features():
    rule, params, (support, _) = made(prior_count=2.0)
    fast = rule.adapt(params, support)
    features = Encoder(20, 4, 4, (8,)).apply({"params": params["encoder"]}, support.x)
    error = rule.predict(params, support.x) - support.y
    slope = 2 / (6 + 2.0) * error  # 6 ratings and 2 pseudo-ratings
    kernel = params["head"]["kernel"][:, 0] - 0.1 * features.T @ slope
    np.testing.assert_allclose(fast["head"]["kernel"][:, 0], kernel, rtol=1e-5)
    np.testing.assert_allclose(fast["head"]["bias"], params["head"]["bias"] - 0.1 * slope.sum(), rtol=1e-6)


def test_only_the_head_moves():
    rule, params, (support, _) = made(steps=3)
    before, after = traverse_util.flatten_dict(params), traverse_util.flatten_dict(rule.adapt(params, support))
    moved = {path for path in before if np.abs(before[path] - after[path]).max() > 0}
    assert moved == {("head", "kernel"), ("head", "bias")}


def test_another_head():
    rule, params, (support, _) = made(head=lambda path: path[-1] == "bias")
    before, after = traverse_util.flatten_dict(params), traverse_util.flatten_dict(rule.adapt(params, support))
    assert {path[-1] for path in before if np.abs(before[path] - after[path]).max() > 0} == {"bias"}


def test_the_body_learns_through_the_step_of_the_head():
    """Its meta-gradient is that of the query through the features of query AND support."""
    rule, params, episode = made()
    exact = jax.jit(jax.grad(lambda p: rule.loss(p, episode, None)[0]))(params)
    encoder = Encoder(20, 4, 4, (8,))

    def written_out(params):
        head = params["head"]
        seen, asked = (encoder.apply({"params": params["encoder"]}, part.x) for part in episode)
        bias, asked_bias = (params["id_bias"]["table"][part.x.id, 0] for part in episode)
        error = 3 + seen @ head["kernel"][:, 0] + head["bias"] + bias - episode.support.y
        kernel = head["kernel"][:, 0] - 0.1 * seen.T @ error / 3
        constant = head["bias"] - 0.1 * error.sum() / 3
        return jnp.mean((3 + asked @ kernel + constant + asked_bias - episode.query.y) ** 2)

    chex.assert_trees_all_close(exact, jax.jit(jax.grad(written_out))(params), rtol=1e-4, atol=1e-5)
    table = np.abs(exact["encoder"]["id_table"]["table"]).sum(1)
    assert (table[np.asarray(episode.support.x.id)] > 0).all()  # items that the query does not read
