"""Prototypes refined by the queries: by hand, without a step the plain ones, and what queries and padding change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_classes import Scaled, outputs, three_classes

from metarec_jax.learners.closed_form.refined_r2d2 import refined_r2d2
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.learners.metric.refined_protonet import EVENING, Refinement, assignment, refined_protonet
from metarec_jax.objectives import cross_entropy
from metarec_jax.types import Episode, Examples


def test_two_steps_by_hand():
    task = three_classes()
    x, queries = np.asarray(task.support.x), np.asarray(task.query.x)
    sums, counts = np.stack([x[0] + x[1], x[2], x[3]]), np.array([2.0, 1.0, 1.0])
    means = sums / counts[:, None]
    for _ in range(2):
        share = np.exp(-0.5 * np.square(queries[:, None] - means).sum(2))
        share /= share.sum(1, keepdims=True)
        means = (sums + share.T @ queries) / (counts + share.sum(0))[:, None]
    logits = -np.square(queries[:, None] - means).sum(2)
    expected = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = outputs(refined_protonet(Scaled(), cross_entropy, ways=3, steps=2, sharpness=0.5), task)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_a_step_it_is_the_prototype_network():
    task = three_classes(1)
    refined = outputs(refined_protonet(Scaled(), cross_entropy, ways=3, steps=0), task)
    np.testing.assert_allclose(refined, outputs(protonet(Scaled(), cross_entropy, ways=3), task), atol=1e-5)


@pytest.mark.parametrize("rule", [refined_protonet, refined_r2d2])
def test_an_empty_class_stays_empty_and_padding_of_the_support_is_inert(rule):
    task = three_classes(2)
    learner = rule(Scaled(), cross_entropy, ways=3)
    moved = task.support._replace(x=task.support.x.at[4].set(99.0))
    np.testing.assert_allclose(outputs(learner, task._replace(support=moved)), outputs(learner, task), atol=1e-5)
    two = task.support._replace(mask=jnp.array([1.0, 1, 1, 0, 0]))
    found = outputs(learner, task._replace(support=two))
    assert np.isfinite(found).all() and np.exp(found[:, 2]).max() < 1e-6
    nothing = task.support._replace(mask=jnp.zeros(5))
    assert np.isfinite(outputs(learner, task._replace(support=nothing))).all()


def test_the_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        task = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, three_classes(3)
        )
        learner = refined_protonet(Scaled(), cross_entropy, ways=3)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), learner.init(jax.random.key(0), task))

        params["refinement"] |= {"balance": jnp.float64(0.02), "weight": jnp.float64(-0.01)}

        @jax.jit
        def loss(params):
            return learner.loss(params, task, jax.random.key(0))[0]

        gradient = jax.grad(loss)(params)
        for part, name in (("net", "scale"), *(("refinement", name) for name in Refinement._fields)):
            ends = [loss(params | {part: params[part] | {name: params[part][name] + d}}) for d in (1e-6, -1e-6)]
            slope = float(ends[0] - ends[1]) / 2e-6
            assert float(gradient[part][name]) == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_queries_asked_together_help_each_other():
    """Two clouds apart in the first coordinate; the one-shot support is off their centres in the second."""
    rng = np.random.default_rng(0)
    y = np.arange(100) % 2
    rows = np.array([[-1.0, 0.0], [1.0, 0.0]])[y] + rng.normal(size=(100, 2)) * (0.2, 1.0)
    support = Examples(jnp.array([[-1.0, 1.2], [1.0, -1.2]]), jnp.array([0, 1]), jnp.ones(2))
    task = Episode(support, Examples(jnp.asarray(rows), jnp.asarray(y), jnp.ones(100)))
    plain = (outputs(protonet(Scaled(), cross_entropy, ways=2), task).argmax(1) == y).mean()
    refined = refined_protonet(Scaled(), cross_entropy, ways=2, steps=10, sharpness=1.0)
    assert plain < 0.9 and (outputs(refined, task).argmax(1) == y).mean() > 0.97


def test_a_balance_of_one_is_sinkhorn_s_and_of_none_the_softmax():
    logits = jnp.asarray(np.random.default_rng(4).normal(size=(30, 4)) + np.array([1.0, 0.0, 0.0, -1.0]))
    counts = jnp.array([1.0, 2.0, 1.0, 1.0])
    np.testing.assert_allclose(assignment(logits, counts, 0.0), jax.nn.log_softmax(logits, -1), rtol=1e-5)
    share = np.exp(np.asarray(logits))
    for _ in range(EVENING):
        share = share / share.sum(1, keepdims=True)
        share = share / (4 * share.mean(0))
    expected = share / share.sum(1, keepdims=True)
    found = np.exp(assignment(logits, counts, 1.0))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found.mean(0) - 0.25).max() < 0.01


def test_classes_without_support_are_no_part_of_the_balance():
    logits = jnp.where(jnp.arange(4) == 3, -1e9, jnp.asarray(np.random.default_rng(5).normal(size=(30, 4))))
    found = assignment(logits, jnp.array([1.0, 1.0, 1.0, 0.0]), 1.0)
    np.testing.assert_allclose(found[:, :3], assignment(logits[:, :3], jnp.ones(3), 1.0), atol=1e-4)
