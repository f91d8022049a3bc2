"""The preference vector by hand, what dropping it means, and how often it is dropped."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_tasks import Raters, perturbed, rated_item

from metarec_jax import objectives
from metarec_jax.learners.items.dropoutnet import dropoutnet
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Episode

CONTEXT = [1.0, -2.0]
SUPPORT = rated_item([[1.0, 0.0], [0.0, 2.0]], [5.0, 2.0], CONTEXT)
QUERY = rated_item([[1.0, 1.0], [0.0, 2.0]], [4.0, 1.0], CONTEXT, ids=[7, 8])
EPISODE = Episode(SUPPORT, QUERY)
NONE = map_rows(lambda leaf: leaf[:0], SUPPORT)


def rule(drop: float):
    return dropoutnet(Raters(), objectives.squared_error, noise=1.0, drop=drop, hidden=(4,))


def test_untrained_it_is_the_ridge_solution():
    """Residuals 2 and -1 on orthogonal vectors (1, 0) and (0, 2): 2 * 1 / (1 + 1) and -1 * 2 / (4 + 1)."""
    params = rule(0.0).init(jax.random.key(0), EPISODE)
    fast = rule(0.0).adapt(params, SUPPORT)
    np.testing.assert_allclose(fast["embedding"], [1.0, -0.4], rtol=1e-6)
    np.testing.assert_allclose(rule(0.0).predict(fast, QUERY.x), [3 + 0.6, 3 - 0.8], rtol=1e-6)


def test_with_everything_dropped_the_content_alone_is_left():
    """The loss is that of an item which nobody has rated, and whose embedding is the network's of its content."""
    params = perturbed(rule(0.0).init(jax.random.key(0), EPISODE), 0)
    dropped, _ = rule(1.0).loss(params, EPISODE, jax.random.key(0))
    unrated, _ = rule(0.0).loss(params, Episode(NONE, QUERY), jax.random.key(1))
    kept, _ = rule(0.0).loss(params, EPISODE, jax.random.key(0))
    np.testing.assert_allclose(dropped, unrated, rtol=1e-6)
    assert abs(kept - dropped) > 1e-2
    latent = params["latent"]
    layer, out = latent["layers"]["layer_0"], latent["out"]
    hidden = jax.nn.relu(jnp.array(CONTEXT) @ layer["kernel"][3:] + layer["bias"])
    embedding = hidden @ out["kernel"] + out["bias"]
    error = 3.0 + QUERY.x.content @ embedding - QUERY.y
    np.testing.assert_allclose(dropped, jnp.mean(error**2), rtol=1e-5)


def test_it_is_dropped_as_a_whole_and_as_often_as_was_asked():
    params = perturbed(rule(0.0).init(jax.random.key(0), EPISODE), 0)
    either = [float(rule(drop).loss(params, EPISODE, jax.random.key(0))[0]) for drop in (0.0, 1.0)]
    keys = jax.random.split(jax.random.key(2), 4000)
    losses = np.asarray(jax.jit(jax.vmap(lambda key: rule(0.3).loss(params, EPISODE, key)[0]))(keys))
    is_dropped = np.isclose(losses, either[1], rtol=1e-4)
    np.testing.assert_allclose(losses[~is_dropped], either[0], rtol=1e-4)
    assert abs(is_dropped.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)


def test_nothing_is_dropped_outside_of_training():
    params = perturbed(rule(0.0).init(jax.random.key(0), EPISODE), 0)
    found = [r.predict(r.adapt(params, SUPPORT), QUERY.x) for r in (rule(0.0), rule(1.0))]
    np.testing.assert_array_equal(*found)
