"""One column for all classes: label order is inert, ways may change, and the gradient is the sum over the columns."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.wrappers.tied_head import tied_head
from metarec_jax.models.conv4 import Classifier
from metarec_jax.objectives import cross_entropy
from metarec_jax.types import Episode, Examples


class Body(nn.Module):
    """One layer: [N, 4] -> [N, 6]."""

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(6)(x))


def learner(ways: int):
    return tied_head(maml(Classifier(Body(), ways), cross_entropy, lr=0.5, steps=2), ways)


def episode(ways: int, order=None) -> Episode:
    rng = np.random.default_rng(0)
    order = np.arange(ways) if order is None else np.asarray(order)

    def part(rows: int) -> Examples:
        y = np.tile(np.arange(ways), rows)
        x = rng.normal(size=(len(y), 4)) + 3.0 * np.eye(ways, 4)[y]
        return Examples(jnp.asarray(x), jnp.asarray(order[y]), jnp.ones(len(y)))

    return Episode(part(1), part(3))


def params_of(ways: int):
    """With a head that is not at 0."""
    params = learner(ways).init(jax.random.key(0), episode(ways))
    return jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(1), leaf.shape), params)


def outputs(params, ways: int, task: Episode):
    one = learner(ways)
    return one.predict(one.adapt(params, task.support), task.query.x)


def test_parameters_do_not_know_the_number_of_ways():
    shapes = [jax.tree.map(jnp.shape, params_of(ways)) for ways in (2, 3)]
    assert shapes[0] == shapes[1] and shapes[0]["head"] == {"kernel": (6, 1), "bias": (1,)}
    assert outputs(params_of(2), 3, episode(3)).shape == (9, 3)


def test_permuted_labels_are_permuted_logits():
    order, params = [2, 0, 1], params_of(3)
    np.testing.assert_allclose(
        outputs(params, 3, episode(3, order))[:, jnp.array(order)], outputs(params, 3, episode(3)), atol=1e-6
    )


def test_the_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        one, task = learner(3), jax.tree.map(lambda leaf: leaf, episode(3))
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params_of(3))
        task = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, task)

        @jax.jit
        def loss(params):
            return one.loss(params, task, jax.random.key(0))[0]

        gradient = jax.jit(jax.grad(loss))(params)
        rng = np.random.default_rng(2)
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
        slope = sum(np.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        ends = [loss(jax.tree.map(lambda leaf, d, s=s: leaf + s * 1e-6 * d, params, direction)) for s in (1, -1)]
        assert abs(slope) > 1e-3 and slope == pytest.approx(float(ends[0] - ends[1]) / 2e-6, rel=1e-5)
        for leaf in jax.tree.leaves(gradient["head"]):  # no softmax, at whatever step, sees what all columns share
            np.testing.assert_allclose(leaf, 0.0, atol=1e-12)


def test_trained_on_more_ways_it_serves_fewer():
    """An episode of two classes is told apart with what four ways have taught."""
    params = params_of(4)
    step = jax.jit(jax.grad(lambda p: learner(4).loss(p, episode(4), jax.random.key(0))[0]))
    for _ in range(30):
        params = jax.tree.map(lambda leaf, slope: leaf - 0.3 * slope, params, step(params))
    task = episode(2)
    assert (outputs(params, 2, task).argmax(1) == task.query.y).mean() > 0.8
