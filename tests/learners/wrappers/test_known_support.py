"""MAML on what is known of a support."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import ITEMS, LEARNERS

from metarec_jax.types import Episode, Examples, Inputs


def task(dtype) -> Episode:
    rng = np.random.default_rng(0)

    def part(first: int, n: int) -> Examples:
        x = Inputs(jnp.arange(first, first + n), jnp.asarray(rng.normal(size=(n, 2)), dtype), jnp.ones(3, dtype))
        return Examples(x, jnp.asarray(rng.uniform(1, 6, n), dtype), jnp.ones(n, dtype).at[-1].set(0.0))

    return Episode(part(0, 5), part(5, 4))


def some_params(rule, episode, dtype):
    rng = np.random.default_rng(1)
    params = rule.init(jax.random.key(0), episode)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), dtype), params)


@pytest.mark.parametrize(
    "path",
    [
        ("prior", "expected", "kernel"),
        ("item_noise", "power"),
        ("learner", "trusted", "group"),
        ("learner", "weights"),
        ("learner", "trusted", "taste", "id_taste", "table"),
    ],
)
def test_the_meta_gradient_is_exact(path):
    with jax.enable_x64(True):
        rule, episode = LEARNERS["maml_on_taste"](), task(jnp.float64)
        params = some_params(rule, episode, jnp.float64)

        def at(value):
            changed = jax.tree.map(lambda leaf: leaf, params)
            node = changed
            for name in path[:-1]:
                node = node[name]
            node[path[-1]] = value
            return rule.loss(changed, episode, jax.random.key(0))[0]

        start = params
        for name in path:
            start = start[name]
        direction = jnp.asarray(np.random.default_rng(2).normal(size=start.shape))
        slope = jnp.vdot(jax.grad(at)(start), direction)
        step = 1e-5
        difference = (at(start + step * direction) - at(start - step * direction)) / (2 * step)
        np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_the_choice_moves_the_start_and_not_the_steps():
    """Where all ratings have weight 0 nothing is learnt from them, and the prediction is that of the expected taste."""
    rule, episode = LEARNERS["maml_on_taste"](), task(jnp.float32)
    params = some_params(rule, episode, jnp.float32)
    support = episode.support
    params["item_noise"] = jax.tree.map(jnp.zeros_like, params["item_noise"])
    params["item_noise"]["id_item_noise"]["table"] = jnp.full((ITEMS, 1), 80.0)  # ratings that say nothing
    told = rule.adapt(params, support)
    assert not np.allclose(told["weights"], params["learner"]["weights"])
    other = rule.adapt(params, support._replace(y=support.y + 3.0))
    np.testing.assert_allclose(told["weights"], other["weights"], atol=1e-6)


def test_a_precise_rating_counts_as_several():
    rule, episode = LEARNERS["maml_on_taste"](), task(jnp.float32)
    params = some_params(rule, episode, jnp.float32)
    params["item_noise"] = jax.tree.map(jnp.zeros_like, params["item_noise"])
    params["prior"] = jax.tree.map(jnp.zeros_like, params["prior"])
    table = jnp.zeros((ITEMS, 1)).at[2].set(-jnp.log(3.0))
    precise = params | {"item_noise": params["item_noise"] | {"id_item_noise": {"table": table}}}
    thrice = episode.support._replace(mask=episode.support.mask.at[2].set(3.0))
    found = rule.adapt(params | precise, episode.support)["weights"]
    np.testing.assert_allclose(found, rule.adapt(params, thrice)["weights"], rtol=1e-5)
