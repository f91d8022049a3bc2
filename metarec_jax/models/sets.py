"""Networks of a support set of (candidate, rating) pairs, invariant to the order of the set.

Inputs are residuals of the ratings from the prior mean, and outputs are corrections of it.
The heads start small, so an untrained network predicts the prior mean. A residual is also an input multiplied by the
features: the sum of these products is the statistic of a linear model, and a small network learns it slowly by itself.

Dropout is on if and only if a "dropout" key is passed to `apply`.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.ops.similarity import attend
from metarec_jax.types import Array, Examples

small = nn.initializers.normal(0.01)  # for heads whose outputs should start near 0


def shrunk_mean(values: Array, mask: Array, count: float) -> Array:
    """[D + 1] sum of the real rows of `values` [K, D] over K + count, and K / (K + count) as a last entry.

    A plain mean is undefined at K = 0 and does not tell one rating from twenty; this one is 0 there and contains K.
    """
    counted = jnp.concatenate([values, jnp.ones_like(values[:, :1])], -1)
    return mask @ counted / (jnp.sum(mask) + count)


class Attention(nn.Module):
    """(queries [N, A], keys [K, B], values [K, C], mask [K]) -> [N, heads * head_dim]: multi-head attention.

    A learnt slot is added to the K entries, so that attention is defined at K = 0, and one rating among 1 + 1 slots has
    a smaller weight than twenty among 20 + 1.
    """

    heads: int
    head_dim: int

    @nn.compact
    def __call__(self, queries: Array, keys: Array, values: Array, mask: Array) -> Array:
        shape = (self.heads, self.head_dim)
        projected = [
            nn.DenseGeneral(shape, use_bias=False, name=name)(rows)
            for name, rows in (("query", queries), ("key", keys), ("value", values))
        ]
        empty = [self.param(f"empty_{name}", nn.initializers.zeros, shape)[None] for name in ("key", "value")]
        with_empty = [jnp.concatenate([slot, rows]) for slot, rows in zip(empty, projected[1:], strict=True)]
        attended = attend(projected[0], *with_empty, jnp.concatenate([jnp.ones_like(mask, shape=1), mask]))
        return attended.reshape(len(queries), self.heads * self.head_dim)


class Layers(nn.Module):
    """[N, D] -> [N, hidden[-1]] through ReLU layers with dropout after each."""

    hidden: Sequence[int]
    dropout: float = 0.0

    @nn.compact
    def __call__(self, rows: Array) -> Array:
        for layer, width in enumerate(self.hidden):
            rows = nn.relu(nn.Dense(width, name=f"layer_{layer}")(rows))
            rows = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(rows)
        return rows


class PairEncoder(nn.Module):
    """(features [K, D], residuals [K]) -> [K, width], one row a pair."""

    width: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, features: Array, residual: Array) -> Array:
        residual = residual[:, None]
        pairs = jnp.concatenate([features, residual, residual * features], -1)
        return nn.Dense(self.width, name="out")(Layers((self.width,), self.dropout, name="layers")(pairs))


class QueryPairs(nn.Module):
    """(features [N, D], task [R] or [N, R]) -> [N, 2 D + R]: both, and the features times a linear map of the task.

    The products let features of candidate and task interact as in a factor model.
    """

    @nn.compact
    def __call__(self, features: Array, task: Array) -> Array:
        task = jnp.broadcast_to(task, (len(features), task.shape[-1]))
        return jnp.concatenate([features, task, features * nn.Dense(features.shape[-1], name="taste")(task)], -1)


class GaussianDecoder(nn.Module):
    """(features [N, D], task [R] or [N, R]) -> mean [N] and variance [N] of the residual.

    The standard deviation is 0.1 + 0.9 softplus, as in the neural processes, so that it cannot collapse to 0.
    """

    width: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, features: Array, task: Array) -> tuple[Array, Array]:
        rows = Layers((self.width,), self.dropout, name="layers")(QueryPairs(name="pairs")(features, task))
        outputs = nn.Dense(2, kernel_init=small, name="head")(rows)
        return outputs[:, 0], jnp.square(0.1 + 0.9 * nn.softplus(outputs[:, 1]))


class RatingReader(nn.Module):
    """A network that reads a support set once (`read`) and then rates candidates (`rate`).

    Attributes:
      net: x of [N, ...] -> (features [N, D], prior mean [N] in rating units), for example `TasteNet`.
      memory: module with two methods, `write(features [K, D], residual [K], mask [K])` -> any pytree, and
        `recall(pytree, features [N, D])` -> [R] or [N, R], the representation of the task (for each candidate).
      width, dropout: of the decoder.
    """

    net: nn.Module
    memory: nn.Module
    width: int
    dropout: float

    def setup(self) -> None:
        """Make the decoder."""
        self.decoder = GaussianDecoder(self.width, self.dropout)

    def __call__(self, support: Examples, x: Any) -> tuple[Array, Array]:
        return self.rate(self.read(support), x)

    def read(self, support: Examples) -> Any:
        """The memory's representation of the support."""
        features, prior = self.net(support.x)
        return self.memory.write(features, support.y - prior, support.mask)

    def rate(self, read: Any, x: Any) -> tuple[Array, Array]:
        """Mean [N] and variance [N] of the ratings of x, in rating units and their square."""
        features, prior = self.net(x)
        mean, variance = self.decoder(features, self.memory.recall(read, features))
        return prior + mean, variance
