"""Scaling and shifting by hand, and that nobody but the raters of the support shifts."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_tasks import Raters, perturbed, rated_item

from metarec_jax import objectives
from metarec_jax.learners.items.item_embedding import above_prior, gradient_steps
from metarec_jax.learners.items.mwuf import mwuf
from metarec_jax.models.generator import Generator
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Episode

CONTEXT = [1.0, -2.0]
SUPPORT = rated_item([[1.0, 0.0], [1.0, 2.0]], [5.0, 2.0], CONTEXT)
QUERY = rated_item([[1.0, 1.0], [0.0, 2.0]], [4.0, 1.0], CONTEXT, ids=[7, 8])
EPISODE = Episode(SUPPORT, QUERY)
STEPS = {"lr": 0.1, "steps": 2, "prior_count": 1.0}
RULE = mwuf(Raters(), objectives.squared_error, raters_count=2.0, hidden=(4,), **STEPS)


def start():
    return RULE.init(jax.random.key(0), EPISODE)


def test_at_scale_one_and_shift_nothing_it_is_the_cold_embedding():
    """So the networks start."""
    params = start()
    cold = gradient_steps(objectives.squared_error, above_prior(Raters(), params, SUPPORT), params["common"], **STEPS)
    found = RULE.predict(RULE.adapt(params, SUPPORT), QUERY.x)
    np.testing.assert_allclose(found, 3.0 + QUERY.x.content @ cold, rtol=1e-6)


def test_scale_and_shift_by_hand():
    """Biases alone: the scale is 1 + (1, -1/2), the shift (10, 20)."""
    params = start()
    params["scaling"]["out"]["bias"] = jnp.array([1.0, -0.5])
    params["shifting"]["out"]["bias"] = jnp.array([10.0, 20.0])
    params["common"] = jnp.array([3.0, 4.0])
    none = map_rows(lambda leaf: leaf[:0], SUPPORT)
    found = RULE.predict(RULE.adapt(params, none), QUERY.x)
    np.testing.assert_allclose(found, 3.0 + QUERY.x.content @ jnp.array([16.0, 22.0]), rtol=1e-6)


def test_scale_reads_the_side_features_and_shift_the_shrunk_mean_of_the_raters():
    """The sum of their vectors over 2 + 2, and 2 / (2 + 2); at a rate of 0 the ratings do not count."""
    rule = mwuf(Raters(), objectives.squared_error, raters_count=2.0, hidden=(4,), lr=0.0, prior_count=1.0)
    params, network = perturbed(start(), 0), Generator(2, (4,))
    scale = 1.0 + network.apply({"params": params["scaling"]}, jnp.array(CONTEXT))
    shift = network.apply({"params": params["shifting"]}, jnp.array([0.5, 0.5, 0.5]))
    for support in (SUPPORT, SUPPORT._replace(y=SUPPORT.y - 1.0)):
        found = rule.adapt(params, support)["embedding"]
        np.testing.assert_allclose(found, scale * params["common"] + shift, rtol=1e-5)


def test_the_query_s_raters_do_not_leak_into_the_embedding():
    """In the loss, too, the error of the first query rating is the same whoever the second rater is."""
    params = perturbed(start(), 0)
    other = QUERY._replace(x=QUERY.x._replace(content=QUERY.x.content.at[1].set(5.0), id=QUERY.x.id.at[1].set(30)))
    first = jnp.array([1.0, 0.0])
    losses = [RULE.loss(params, Episode(SUPPORT, q._replace(mask=first)), jax.random.key(0))[0] for q in (QUERY, other)]
    assert losses[0] == losses[1] > 0
    both = [RULE.loss(params, Episode(SUPPORT, query), jax.random.key(0))[0] for query in (QUERY, other)]
    own = [jnp.square(RULE.predict(RULE.adapt(params, SUPPORT), q.x) - q.y) for q in (QUERY, other)]
    np.testing.assert_allclose(own[0][0], own[1][0], rtol=1e-6)
    np.testing.assert_allclose(both, [jnp.mean(errors) for errors in own], rtol=1e-5)
