"""Gradient steps by factors against the same steps on the weights: loss and meta-gradient, in float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_tasks import Linear, perturbed, rating_net, rating_task

from metarec_jax.learners.gradient.anil import is_head
from metarec_jax.learners.gradient.low_rank import moved_layers
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.mlp import MLP
from metarec_jax.objectives import query_loss, squared_error
from metarec_jax.params import is_id_table
from metarec_jax.types import Episode


def padded_task(seed: int) -> Episode:
    """A task in float64 whose last support and query examples are padding."""
    task = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf,
        rating_task(np.random.default_rng(seed)),
    )
    return Episode(*(part._replace(mask=part.mask.at[-1].set(0.0)) for part in task))


def both(net, episode, **settings):
    """Loss and meta-gradient as the learner has them, and by its own `adapt` and `predict`."""
    rule = maml(net, squared_error, lr=0.05, **settings)
    params = perturbed(rule.init(jax.random.key(0), episode), 1)
    losses = (rule.loss, query_loss(rule.adapt, rule.predict, squared_error))
    return [jax.jit(jax.value_and_grad(lambda p, of=of: of(p, episode, jax.random.key(0))[0]))(params) for of in losses]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 3, "prior_count": 2.0},
        {"steps": 2, "first_order": True},
        {"shared": lambda path: not is_head(path), "steps": 2},
    ],
    ids=["one step", "three steps", "first order", "the head alone"],
)
def test_factors_have_the_loss_and_the_meta_gradient_of_moved_weights(settings):
    with jax.enable_x64(True):
        factors, weights = both(rating_net(), padded_task(0), **settings)
        chex.assert_trees_all_close(factors, weights, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("width", [2, 60])  # one has the product made, the other has not
def test_both_orders_of_multiplication_are_the_same_function(width):
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        task = padded_task(2)
        episode = Episode(*(part._replace(x=jnp.asarray(rng.normal(size=(len(part.y), 3)))) for part in task))
        factors, weights = both(MLP(hidden=(width, width)), episode)
        chex.assert_trees_all_close(factors, weights, rtol=1e-10, atol=1e-12)


def test_what_is_not_only_dense_layers_is_left_to_the_weights():
    episode = rating_task(np.random.default_rng(3))
    x = episode.support.x
    params = rating_net().init(jax.random.key(0), x)["params"]
    assert set(moved_layers(rating_net(), params, x, is_id_table)) == {
        ("encoder", "content"), ("encoder", "context"), ("encoder", "layer_0"), ("head",)
    }  # fmt: skip
    assert moved_layers(rating_net(), params, x, lambda path: False) is None  # tables move too
    assert moved_layers(rating_net(), params, x, lambda path: path != ("head", "kernel")) is None  # a part of a layer
    assert moved_layers(rating_net(), params, x, lambda path: True) is None
    rows = jnp.ones((4, 5))
    with jax.enable_x64(True):
        assert moved_layers(Linear(), {"w": jnp.ones(5, jnp.float64)}, rows, is_id_table) is None


def test_another_optimiser_is_left_to_the_weights():
    with jax.enable_x64(True):
        factors, weights = both(rating_net(), padded_task(4), steps=2, optimiser=lambda lr: optax.sgd(lr, momentum=0.9))
        chex.assert_trees_all_equal(factors, weights)
