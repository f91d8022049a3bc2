"""Which parameters MeLU's inner loop moves, and what its published configuration comes to."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from helpers import random_table
from toy_tasks import rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.melu import melu
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import example, hyperparameters
from metarec_jax.recipes.gradient import build_melu_published
from metarec_jax.types import Episode, Examples, Inputs


def moved(before, after) -> set[str]:
    """The modules of which at least one parameter differs."""
    before, after = traverse_util.flatten_dict(before), traverse_util.flatten_dict(after)
    return {path[-2] for path in before if np.abs(before[path] - after[path]).max() > 0}


def test_decision_layers_move_and_embeddings_do_not():
    episode = rating_task(np.random.default_rng(0))
    rule = melu(rating_net(), objectives.squared_error, lr=0.1, steps=2)
    params = jax.jit(rule.init)(jax.random.key(0), episode)
    modules = {path[-2] for path in traverse_util.flatten_dict(params)}
    assert modules == {"id_table", "id_bias", "content", "context", "layer_0", "head"}
    assert moved(params, rule.adapt(params, episode.support)) == {"layer_0", "head"}
    gradient = jax.jit(jax.grad(lambda p: rule.loss(p, episode, None)[0]))(params)
    assert moved(params, jax.tree.map(jnp.add, params, gradient)) == modules  # the outer loop trains all of it


def published(steps: int = 1, inner_lr: float = 5e-6):
    train = random_table(0)
    rule = build_melu_published(train, inner_steps=steps, inner_lr=inner_lr).method
    return rule, jax.jit(rule.init)(jax.random.key(0), example(train))


def support_of(ids, ratings):
    n = len(ids)
    content = np.linspace(-1, 1, n, dtype=np.float32)[:, None]
    x = Inputs(jnp.asarray(ids), jnp.asarray(content), jnp.ones(1))
    return Examples(x, jnp.asarray(ratings, jnp.float32), jnp.ones(n))


def test_published_settings():
    inner, outer = hyperparameters(RECIPES["melu_published"])
    assert inner == {"inner_lr": 5e-6, "inner_steps": 1}
    assert (outer.outer_lr, outer.batch) == (5e-5, 32)
    _, params = published()
    shapes = {"/".join(path): leaf.shape for path, leaf in traverse_util.flatten_dict(params).items()}
    assert {path: shape for path, shape in shapes.items() if path.endswith("kernel")} == {
        "encoder/content/kernel": (1, 128),
        "encoder/context/kernel": (1, 128),
        "encoder/layer_0/kernel": (256, 64),
        "encoder/layer_1/kernel": (64, 64),
        "head/kernel": (64, 1),
    }
    assert len(shapes) == 10  # these and their biases, no table of ids


def test_published_adaptation_hardly_moves_a_prediction():
    """Five ratings that are all two stars off move no prediction by 0.005 stars; a thousand times the rate does."""
    for rate, least, most in ((5e-6, 1e-4, 5e-3), (5e-3, 0.5, 4.0)):
        rule, params = published(inner_lr=rate)
        before = rule.predict(params, support_of([0, 1, 2, 3, 4], [0] * 5).x)
        support = support_of([0, 1, 2, 3, 4], before + 2)
        change = np.abs(rule.predict(rule.adapt(params, support), support.x) - before).max()
        assert least < change < most, (rate, change)


def test_published_is_blind_to_ids():
    rule, params = published()
    one, other = (support_of(ids, [1, 2, 3]) for ids in ([0, 1, 2], [7, 3, 11]))
    np.testing.assert_array_equal(
        rule.predict(rule.adapt(params, one), one.x), rule.predict(rule.adapt(params, other), other.x)
    )


def test_published_is_first_order():
    rule, params = published(inner_lr=0.01)
    episode = Episode(support_of([0, 1, 2], [1, 2, 5]), support_of([4, 5], [3, 1]))
    gradient = jax.jit(jax.grad(lambda p: rule.loss(p, episode, None)[0]))(params)

    @jax.jit
    def at_adapted(params):
        return jax.grad(lambda p: objectives.squared_error(rule.predict(p, episode.query.x), episode.query)[0])(
            rule.adapt(params, episode.support)
        )

    chex.assert_trees_all_close(gradient, at_adapted(params), rtol=1e-5, atol=1e-6)


def test_a_table_without_side_features_is_no_error():
    """All that is left is a number a user."""
    rule = melu(rating_net(use_ids=False), objectives.squared_error, lr=0.1, steps=50)
    bare = Inputs(jnp.arange(4), jnp.zeros((4, 0)), jnp.zeros(0))
    support = Examples(bare, jnp.array([1.0, 2.0, 2.0, 3.0]), jnp.ones(4))
    params = rule.init(jax.random.key(0), Episode(support, support))
    np.testing.assert_allclose(rule.predict(rule.adapt(params, support), bare), 2.0, atol=1e-3)
