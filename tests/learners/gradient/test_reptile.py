"""Reptile's direction against its definition, and what moves when."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import Linear, examples, linear_episode, rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.learners.gradient.transfer import transfer
from metarec_jax.ops.rows import join_rows
from metarec_jax.types import Episode

LR = 0.05


def microbatch(episode: Episode):
    return join_rows(*episode)


def test_two_steps_by_hand():
    """From w = 0 on x = 1, y = 1 and x = 1, y = 2 together: the gradients are -3 and, at w = 0.3, -2.4. Their sum is
    (theta - theta_2) / 0.1."""
    with jax.enable_x64(True):
        rule = reptile(Linear(), objectives.squared_error, lr=0.1, steps=2)
        episode = Episode(examples([[1.0]], [1.0]), examples([[1.0]], [2.0]))
        gradient = jax.grad(lambda p: rule.loss(p, episode, None)[0])({"w": jnp.zeros(1)})
        np.testing.assert_allclose(gradient["w"], [-5.4], rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_direction_is_theta_minus_theta_k(steps):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        episode, w = linear_episode(rng), rng.normal(size=5)
        rule = reptile(Linear(), objectives.squared_error, lr=LR, steps=steps)
        gradient = jax.grad(lambda p: rule.loss(p, episode, None)[0])({"w": jnp.asarray(w)})["w"]
        everything, reached = microbatch(episode), w
        x, y = np.asarray(everything.x), np.asarray(everything.y)
        for _ in range(steps):
            reached = reached - LR * 2 / 16 * x.T @ (x @ reached - y)
        np.testing.assert_allclose(gradient, (w - reached) / LR, rtol=1e-9)


def network(steps: int):
    episode, net = rating_task(np.random.default_rng(0)), rating_net()
    rule = reptile(net, objectives.squared_error, lr=LR, steps=steps)
    return rule, net, jax.jit(rule.init)(jax.random.key(0), episode), episode


def test_one_step_is_joint_training():
    rule, net, params, episode = network(steps=1)
    joint = transfer(net, objectives.squared_error, lr=LR)
    found, expected = (jax.jit(jax.grad(lambda p, r=r: r.loss(p, episode, None)[0]))(params) for r in (rule, joint))
    chex.assert_trees_all_close(found, expected, atol=2e-5)


def test_more_steps_are_not_joint_training():
    rule, net, params, episode = network(steps=5)
    joint = transfer(net, objectives.squared_error, lr=LR)
    found, expected = (jax.jit(jax.grad(lambda p, r=r: r.loss(p, episode, None)[0]))(params) for r in (rule, joint))
    kernel, other = found["head"]["kernel"], 5 * expected["head"]["kernel"]
    assert np.abs(kernel - other).max() > 0.05 * np.abs(other).max()


def test_id_tables_learn_in_training_and_stay_afterwards():
    rule, _, params, episode = network(steps=3)
    gradient = jax.jit(jax.grad(lambda p: rule.loss(p, episode, None)[0]))(params)
    fast = rule.adapt(params, episode.support)
    met = set(np.concatenate([episode.support.x.id, episode.query.x.id]).tolist())
    for table, change, after in (
        (params["encoder"]["id_table"], gradient["encoder"]["id_table"], fast["encoder"]["id_table"]),
        (params["id_bias"], gradient["id_bias"], fast["id_bias"]),
    ):
        assert set(np.flatnonzero(np.abs(change["table"]).sum(1)).tolist()) == met
        np.testing.assert_array_equal(after["table"], table["table"])
    assert np.abs(fast["head"]["kernel"] - params["head"]["kernel"]).max() > 1e-4


def test_the_loss_in_the_log_is_the_loss_of_the_query():
    rule, net, params, episode = network(steps=3)
    value, metrics = jax.jit(lambda p: rule.loss(p, episode, None))(params)
    plain = maml(net, objectives.squared_error, lr=LR, steps=3)
    expected = jax.jit(lambda p: plain.loss(p, episode, None)[0])(params)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-6)
    assert abs(float(value) - float(metrics["loss"])) > 1e-3  # the surrogate is another number
