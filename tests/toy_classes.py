"""A three-way problem so small that what a classifier does with it can be worked out by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Episode, Examples


class Scaled(nn.Module):
    """x [N, D] times a learnt number."""

    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, ())


def three_classes(seed: int = 0) -> Episode:
    """Support of 2, 1 and 1 examples of the classes and a row of padding, 8 queries, in 3 dimensions."""
    rng = np.random.default_rng(seed)
    y = jnp.array([0, 0, 1, 2, 0], jnp.int32)
    support = Examples(jnp.asarray(rng.normal(size=(5, 3))), y, jnp.array([1.0, 1, 1, 1, 0]))
    return Episode(support, Examples(jnp.asarray(rng.normal(size=(8, 3))), jnp.arange(8) % 3, jnp.ones(8)))


def outputs(learner, task: Episode) -> np.ndarray:
    """Logits [N, C] of the task's queries, of a learner with its first parameters."""
    params = learner.init(jax.random.key(0), task)
    return np.asarray(learner.predict(learner.adapt(params, task.support), task.query.x))
