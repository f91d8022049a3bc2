"""Learners on embeddings: what training embeds at once, and examples that take turns at being known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.metric.embedding import turns
from metarec_jax.learners.metric.matching import matching
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.learners.metric.relation import Comparator, relation
from metarec_jax.objectives import cross_entropy, one_hot_squared_error, query_loss
from metarec_jax.types import Episode, Examples

WAYS, SHOTS, QUERY = 3, 2, 3


class Body(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(4)(x))


def by_class(x) -> Examples:
    """Rows [WAYS, n, D] class by class."""
    return Examples(x.reshape(-1, x.shape[-1]), jnp.repeat(jnp.arange(WAYS), x.shape[1]), jnp.ones(WAYS * x.shape[1]))


X = jax.random.normal(jax.random.key(0), (WAYS, SHOTS + QUERY, 5))
EPISODE = Episode(by_class(X[:, :SHOTS]), by_class(X[:, SHOTS:]))
LEARNERS = {
    "protonet": lambda **o: (protonet(Body(), cross_entropy, ways=WAYS, **o), cross_entropy),
    "matching": lambda **o: (matching(Body(), cross_entropy, ways=WAYS, **o), cross_entropy),
    "r2d2": lambda **o: (r2d2(Body(), cross_entropy, ways=WAYS, **o), cross_entropy),
    "relation": lambda **o: (
        relation(Body(), Comparator((4,)), one_hot_squared_error, ways=WAYS, **o),
        one_hot_squared_error,
    ),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_support_and_query_embedded_at_once_are_the_same(name):
    learner, objective = LEARNERS[name]()
    params = learner.init(jax.random.key(1), EPISODE)
    expected = query_loss(learner.adapt, learner.predict, objective)(params, EPISODE, jax.random.key(0))[0]
    np.testing.assert_allclose(learner.loss(params, EPISODE, jax.random.key(0))[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", LEARNERS)
def test_turns_are_the_mean_over_the_episodes_that_they_name(name):
    learner, objective = LEARNERS[name](turns=True)
    params = learner.init(jax.random.key(1), EPISODE)
    each = []
    for turn in range(SHOTS + QUERY):
        rows = jnp.roll(X, -turn, 1)
        episode = Episode(by_class(rows[:, :SHOTS]), by_class(rows[:, SHOTS:]))
        each.append(query_loss(learner.adapt, learner.predict, objective)(params, episode, jax.random.key(0))[0])
    assert np.std(each) > 1e-3
    np.testing.assert_allclose(learner.loss(params, EPISODE, jax.random.key(0))[0], np.mean(each), rtol=1e-5)


def test_labels_and_masks_take_turns_with_their_rows():
    support, query = EPISODE
    support = support._replace(mask=support.mask.at[1].set(0.0))
    known, asked, first, rest = turns(support.x, query.x, support, query, WAYS)
    assert known.shape == (5, 6, 5) and asked.shape == (5, 9, 5)
    np.testing.assert_array_equal(first.y, np.tile(np.repeat(np.arange(WAYS), SHOTS), (5, 1)))
    hidden = np.asarray(support.x[1])
    for rows, examples in ((known, first), (asked, rest)):
        np.testing.assert_array_equal((np.asarray(rows) == hidden).all(-1), np.asarray(examples.mask) == 0)


def test_classes_of_unequal_numbers_of_rows_are_refused():
    support = jax.tree.map(lambda leaf: leaf[:-1], EPISODE.support)
    with pytest.raises(ValueError, match="5 known and 9 asked rows are not 3 times as many"):
        turns(support.x, EPISODE.query.x, support, EPISODE.query, WAYS)
