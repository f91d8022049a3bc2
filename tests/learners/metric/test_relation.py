"""Learnt comparisons by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import objectives
from metarec_jax.learners.metric.relation import Comparator, relation, relation_ratings
from metarec_jax.params import FIXED
from metarec_jax.train import loop, step
from metarec_jax.train.optimisers import adam
from metarec_jax.types import Episode, Examples, Tasks


class Identity(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


class WithMean(nn.Module):
    """Embeddings and a prior mean of 3."""

    @nn.compact
    def __call__(self, x):
        return x, jnp.full(len(x), 3.0)


class Product(nn.Module):
    """A comparator without parameters: inner products."""

    @nn.compact
    def __call__(self, classes, points):
        return points @ classes.T


def test_the_comparator_sees_each_pair_in_its_place():
    net = Comparator(hidden=(2,))
    classes, points = jnp.array([[1.0], [2.0], [4.0]]), jnp.array([[1.0], [3.0]])
    layer = {"kernel": jnp.array([[1.0, -1.0], [-1.0, 1.0]]), "bias": jnp.zeros(2)}  # relu(c - x), relu(x - c)
    params = {"layer_0": layer, "score": {"kernel": jnp.array([[10.0], [1.0]])}}
    assert jax.tree.structure(net.init(jax.random.key(0), classes, points)["params"]) == jax.tree.structure(params)
    np.testing.assert_allclose(net.apply({"params": params}, classes, points), [[0, 10, 30], [2, 1, 10]])


def classifier():
    return relation(Identity(), Product(), objectives.one_hot_squared_error, ways=3)


PARAMS = {"net": {}, "comparator": {}}
SUPPORT = Examples(jnp.array([[1.0], [2.0], [-1.0], [9.0]]), jnp.array([0, 0, 1, 2]), jnp.array([1.0, 1.0, 1.0, 0.0]))


def test_classes_are_pooled_by_sums_and_scored_by_sigmoids():
    rule = classifier()
    fast = rule.adapt(PARAMS, SUPPORT)
    sigmoid = lambda score: 1 / (1 + np.exp(-score))  # noqa: E731
    np.testing.assert_allclose(rule.predict(fast, jnp.array([[0.5]])), [[sigmoid(1.5), sigmoid(-0.5), 0]], rtol=1e-6)


def test_the_loss_is_the_squared_error_to_the_one_hot():
    rule = classifier()
    query = Examples(jnp.zeros((2, 1)), jnp.array([0, 1]), jnp.array([1.0, 0.0]))
    loss, metrics = rule.loss(PARAMS, Episode(SUPPORT, query), jax.random.key(0))
    np.testing.assert_allclose(loss, 0.5**2 + 0.5**2, rtol=1e-6)  # scores 1/2, 1/2, and 0 for the class without support
    assert metrics["accuracy"] == 1


def test_the_classifier_learns_to_compare_what_no_distance_does():
    """Class 0's support is +-v and class 1's +-u, one example each: alike is what has the same ABSOLUTE direction."""
    rule = relation(nn.Dense(4), Comparator((16,)), objectives.one_hot_squared_error, ways=2)

    def sample(data, key) -> Episode:
        del data
        signs = jax.random.rademacher(key, (6,), dtype=jnp.float32)
        y = jnp.array([0, 1, 0, 1, 0, 1])
        rows = Examples(jax.nn.one_hot(y, 2) * signs[:, None], y, jnp.ones(6))
        return Episode(*(jax.tree.map(lambda leaf, part=part: leaf[part], rows) for part in (slice(2), slice(2, 6))))

    tasks, optimiser = Tasks(None, sample), adam(0.02, 120)
    run = loop.start(rule, tasks, optimiser, jax.random.key(0))
    chunk = step.make_train_steps(rule, sample, optimiser, batch=16, length=120)
    _, metrics = chunk(None, run.state, jax.random.key(1))
    assert metrics["accuracy"][-20:].mean() > 0.95


def rating_params(**changes):
    levels = {"prototypes": jnp.array([[-1.0], [1.0]]), "log_count": jnp.log(2.0), "log_share_count": jnp.log(2.0)}
    return PARAMS | levels | {"shares": jnp.zeros(2), FIXED: {"levels": jnp.array([1.0, 5.0])}} | changes


def test_ratings_move_by_the_change_of_the_expected_level():
    """Two fives at 1 and 2, pseudo-counts of 2: prototypes -1 and (2 + 3) / 4, shares 1/4 and 3/4."""
    rule = relation_ratings(WithMean(), Product(), objectives.squared_error, levels=(1.0, 5.0))
    support = Examples(jnp.array([[1.0], [2.0], [9.0]]), jnp.array([5.0, 5.0, 1.0]), jnp.array([1.0, 1.0, 0.0]))
    found = rule.predict(rule.adapt(rating_params(), support), jnp.array([[2.0]]))
    after, before = np.array([0.25 * np.exp(-2), 0.75 * np.exp(2.5)]), np.array([np.exp(-2), np.exp(2)])
    expected = 3 + after @ [1, 5] / after.sum() - before @ [1, 5] / before.sum()
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_without_ratings_the_prior_mean_stands():
    rule = relation_ratings(WithMean(), Product(), objectives.squared_error, levels=(1.0, 5.0))
    nothing = Examples(jnp.ones((2, 1)), jnp.ones(2), jnp.zeros(2))
    found = rule.predict(rule.adapt(rating_params(shares=jnp.array([0.3, -1.0])), nothing), jnp.array([[2.0], [-3.0]]))
    np.testing.assert_allclose(found, 3, rtol=1e-6)
