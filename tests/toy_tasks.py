"""Tasks so small that what a learner does on them can be worked out by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.models.recommender import RatingNet
from metarec_jax.types import Episode, Examples, Inputs


class Linear(nn.Module):
    """x [N, D] -> x . w, without a bias: a model whose Hessian is known."""

    @nn.compact
    def __call__(self, x):
        return x @ self.param("w", nn.initializers.normal(), (x.shape[-1],), jnp.float64)


def examples(x, y) -> Examples:
    """Inputs [N, D] with their labels [N], all real, in float64."""
    return Examples(jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64), jnp.ones(len(y), jnp.float64))


def linear_episode(rng: np.random.Generator, dims: int = 5) -> Episode:
    """7 support and 9 query examples for `Linear`, at random."""
    return Episode(*(examples(rng.normal(size=(n, dims)), rng.normal(size=n)) for n in (7, 9)))


def rating_net(**parts) -> RatingNet:
    """A network for `rating_task`."""
    return RatingNet(20, 3.0, id_dim=4, side_dim=4, hidden=(8,), **parts)


def rating_task(rng: np.random.Generator) -> Episode:
    """A task whose 4 query items differ from its 6 support items, as in every recommendation task."""
    items = rng.permutation(20).astype(np.int32)

    def part(rows) -> Examples:
        n = len(rows)
        x = Inputs(rows, rng.normal(size=(n, 3)).astype(np.float32), np.ones(2, np.float32))
        return Examples(x, rng.uniform(1, 5, size=n).astype(np.float32), np.ones(n, np.float32))

    return jax.tree.map(jnp.asarray, Episode(part(items[:6]), part(items[6:10])))


class Raters(nn.Module):
    """Inputs -> the content as the raters' vectors [N, F], and a prior mean of 3."""

    @nn.compact
    def __call__(self, x: Inputs):
        return x.content, jnp.full(len(x.content), 3.0, x.content.dtype)


def rated_item(vectors, y, context, ids=None, dtype=jnp.float32) -> Examples:
    """Ratings [N] of an item with side features [G] by users with these vectors [N, D]; users 0, 1, ... by default."""
    n, ids = len(y), jnp.arange(len(y)) if ids is None else jnp.asarray(ids)
    x = Inputs(ids, jnp.asarray(vectors, dtype).reshape(n, -1), jnp.asarray(context, dtype))
    return Examples(x, jnp.asarray(y, dtype), jnp.ones(n, dtype))


def perturbed(params, seed: int, scale: float = 0.3):
    """The parameters with noise in every entry, in float64 where that is on: heads that start at 0 say something."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf + scale * rng.normal(size=leaf.shape)), params)
