"""What the learners of new items share: the prior, gradient steps on an embedding, and no look at the query."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import Raters, perturbed, rated_item

from metarec_jax import objectives
from metarec_jax.learners.items.clcrec import clcrec
from metarec_jax.learners.items.dropoutnet import dropoutnet
from metarec_jax.learners.items.item_embedding import above_prior, gradient_steps
from metarec_jax.learners.items.metaemb import metaemb
from metarec_jax.learners.items.mwuf import mwuf
from metarec_jax.models.generator import Generator
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Episode

SQUARED = objectives.squared_error
LEARNERS = {
    "metaemb": lambda: metaemb(Raters(), SQUARED, lr=0.3, hidden=(4,)),
    "mwuf": lambda: mwuf(Raters(), SQUARED, lr=0.3, hidden=(4,)),
    "dropoutnet": lambda: dropoutnet(Raters(), SQUARED, hidden=(4,)),
    "clcrec": lambda: clcrec(Raters(), SQUARED, num_ids=50, hidden=(4,)),
}
SUPPORT = rated_item([[1.0, 0.0], [1.0, 1.0]], [5.0, 2.0], [1.0, -1.0, 0.5])
QUERY = rated_item([[0.0, 1.0], [2.0, 1.0], [1.0, -1.0]], [1.0, 4.0, 3.0], [1.0, -1.0, 0.5], ids=[7, 8, 9])

NOTHING = map_rows(lambda leaf: leaf[:0], SUPPORT)


def trained(name: str):
    rule = LEARNERS[name]()
    return rule, perturbed(jax.jit(rule.init)(jax.random.key(0), Episode(SUPPORT, QUERY)), 1)


def test_one_step_by_hand():
    """Vectors (1, 0) and (1, 1), ratings 5 and 2 around 3: residuals 2 and -1. From (1, 0) the errors are -1 and 2,
    their gradient 2 (-1 (1, 0) + 2 (1, 1)) / (2 + 2) = (0.5, 1): at a rate of 0.4 the step ends in (0.8, -0.4)."""
    rated = above_prior(Raters(), {"net": {}}, SUPPORT)
    np.testing.assert_allclose(rated.y, [2.0, -1.0])
    found = gradient_steps(SQUARED, rated, jnp.array([1.0, 0.0]), lr=0.4, steps=1, prior_count=2.0)
    np.testing.assert_allclose(found, [0.8, -0.4], rtol=1e-6)


def test_a_generator_starts_at_zero_and_needs_no_side_features():
    net = Generator(3, hidden=(4,))
    found, variables = net.init_with_output(jax.random.key(0), jnp.ones(2), jnp.ones(5))
    np.testing.assert_array_equal(found, 0.0)
    assert variables["params"]["layers"]["layer_0"]["kernel"].shape == (7, 4)
    assert np.isfinite(net.init_with_output(jax.random.key(0), jnp.zeros(0))[0]).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_at_first_nobody_s_rating_is_the_prior_mean(name):
    rule = LEARNERS[name]()
    params = jax.jit(rule.init)(jax.random.key(0), Episode(SUPPORT, QUERY))
    np.testing.assert_allclose(rule.predict(rule.adapt(params, NOTHING), QUERY.x), 3.0, atol=0.1)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_new_item_s_side_features_count_without_a_rating(name):
    rule, params = trained(name)
    other = NOTHING._replace(x=NOTHING.x._replace(context=-NOTHING.x.context))
    one, two = (rule.predict(rule.adapt(params, support), QUERY.x) for support in (NOTHING, other))
    assert np.abs(one - two).max() > 1e-2


@pytest.mark.parametrize("name", LEARNERS)
def test_a_rater_s_prediction_does_not_depend_on_who_else_is_asked_about(name):
    rule, params = trained(name)
    fast = rule.adapt(params, SUPPORT)
    alone = rule.predict(fast, map_rows(lambda leaf: leaf[:1], QUERY.x))
    np.testing.assert_allclose(rule.predict(fast, QUERY.x)[:1], alone, rtol=1e-5)


@pytest.mark.parametrize("name", LEARNERS)
def test_predicting_is_the_same_twice_and_training_is_random_in_its_key_alone(name):
    """Dropout, dropped preferences and negatives are drawn in the loss."""
    settings = {"hidden": (16,), "dropout": 0.5}
    rule = {
        "metaemb": lambda: metaemb(Raters(), SQUARED, lr=0.3, **settings),
        "mwuf": lambda: mwuf(Raters(), SQUARED, lr=0.3, **settings),
        "dropoutnet": lambda: dropoutnet(Raters(), SQUARED, **settings),
        "clcrec": lambda: clcrec(Raters(), SQUARED, num_ids=50, **settings),
    }[name]()
    episode = Episode(SUPPORT, QUERY)
    params = perturbed(jax.jit(rule.init)(jax.random.key(0), episode), 1)
    loss = jax.jit(rule.loss)
    losses = [loss(params, episode, jax.random.key(seed))[0] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    twice = [rule.predict(rule.adapt(params, SUPPORT), QUERY.x) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
