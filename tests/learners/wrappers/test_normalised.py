"""Which mode looks at what: other queries, padding, the training images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.learners.wrappers.normalised import TRANSDUCTIVE, normalised, population
from metarec_jax.models.conv4 import Classifier, Conv4
from metarec_jax.objectives import cross_entropy
from metarec_jax.params import FIXED
from metarec_jax.testing import check_learner
from metarec_jax.types import Episode, Examples, Learner, Params


def net(mode: str) -> Conv4:
    return Conv4(width=3, layers=1, norm="layer" if mode == "layer" else "batch")


def draw(seed: int, rows: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, 4, 4, 1)), jnp.float32)


def episode() -> Episode:
    def part(seed: int, rows: int) -> Examples:
        return Examples(draw(seed, rows), jnp.arange(rows, dtype=jnp.int32) % 2, jnp.ones(rows))

    return Episode(part(1, 4), part(2, 6))


@functools.cache
def made(mode: str) -> tuple[Learner, Params]:
    """A prototype classifier; its parameters, with the statistics of other images where they are needed."""
    rule = normalised(protonet(net(mode), cross_entropy, ways=2), mode)
    params = jax.jit(rule.init)(jax.random.key(0), episode())
    return rule, population(net(mode), draw(3, 8), batch=4)(params) if mode == "population" else params


def predictions(mode: str, x: jax.Array, support: Examples | None = None) -> np.ndarray:
    rule, params = made(mode)
    answer = jax.jit(lambda params, support, x: rule.predict(rule.adapt(params, support), x))
    return np.asarray(answer(params, support or episode().support, x))


@pytest.mark.parametrize("mode", TRANSDUCTIVE)
def test_a_query_sees_the_others_only_where_it_is_said(mode):
    x = episode().query.x
    apart = np.abs(predictions(mode, x)[:2] - predictions(mode, x[:2])).max()
    assert apart > 1e-3 if TRANSDUCTIVE[mode] else apart < 1e-5


@pytest.mark.parametrize("mode", TRANSDUCTIVE)
def test_padding_of_the_support_is_inert(mode):
    task = episode()
    garbage = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:2] * 0 + 1]), task.support)
    padded = garbage._replace(mask=jnp.concatenate([task.support.mask, jnp.zeros(2)]))
    found = predictions(mode, task.query.x, padded)
    np.testing.assert_allclose(found, predictions(mode, task.query.x), atol=1e-5)


@pytest.mark.parametrize("mode", ["batch", "support", "layer"])
def test_it_has_every_property_of_a_learner(mode):
    learner, params = made(mode)
    check_learner(learner, episode(), params=params, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["batch", "support"])
def test_padding_of_the_query_does_not_enter_the_loss(mode):
    rule, params = made(mode)
    task = episode()
    garbage = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:2] * 0 + 1]), task.query)
    padded = garbage._replace(mask=jnp.concatenate([task.query.mask, jnp.zeros(2)]))
    loss = jax.jit(lambda query: rule.loss(params, task._replace(query=query), jax.random.key(0))[0])
    losses = [loss(query) for query in (task.query, padded)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_population_statistics_are_the_means_over_batches():
    """Of the one layer: by hand from the network's own statistics of each half; images left over are not used."""
    _, params = made("population")
    own = [
        net("batch").apply({"params": params["net"]}, draw(3, 8)[half], mutable=["statistics"])[1]["statistics"]
        for half in (slice(4), slice(4, 8))
    ]
    wanted = jax.tree.map(lambda a, b: (a + b) / 2, *own)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), params[FIXED]["statistics"], wanted)
    more = population(net("batch"), draw(3, 9)[:9], batch=4)
    assert jax.tree.leaves(more(params))[0].shape == jax.tree.leaves(params)[0].shape


@pytest.mark.parametrize("rule", [maml, reptile])
def test_gradient_learners_normalise_queries_like_the_support(rule):
    """One query at a time or all together, after adapting."""
    inner = rule(Classifier(net("support"), 2), cross_entropy, lr=0.1, steps=2)
    learner, task = normalised(inner, "support", training="batch" if rule is reptile else None), episode()
    params = jax.jit(learner.init)(jax.random.key(0), task)
    fast, predict = jax.jit(learner.adapt)(params, task.support), jax.jit(learner.predict)
    np.testing.assert_allclose(predict(fast, task.query.x)[:1], predict(fast, task.query.x[:1]), atol=1e-5)
    slope = jax.jit(jax.grad(lambda params: learner.loss(params, task, jax.random.key(0))[0]))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
