"""An encoder of a set of items to a taste vector, and scores of items from it.

Dropout is on if and only if a "dropout" key is passed to `apply`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.models.recommender import IdTable
from metarec_jax.types import Array, Inputs


class SetEncoder(nn.Module):
    """Support items -> taste [dim] -> scores of items.

    p = sum of the items' vectors / sqrt(K)
    taste = 1, and gain(K) p + a network of p and K        gain(K) = exp(a + b log K)
    score of an item = (bias, output vector) . taste

    The last layer of the network starts at 0, so that initially the taste is linear in the items, and the scores are
    those of a linear item-item model whose weights are the products of vectors and output vectors. If nothing is known,
    the taste is 0, and so is every score.
    """

    num_ids: int
    dim: int = 256
    width: int = 256
    dropout: float = 0.3
    scale: float = 0.05  # standard deviation of the initial vectors

    def setup(self) -> None:
        """Make the ID tables and the layers."""
        self.id_known = IdTable(self.num_ids, self.dim, self.scale)
        self.id_sought = IdTable(self.num_ids, self.dim, self.scale)
        self.id_bias = IdTable(self.num_ids, 1, scale=0.0)
        self.log_gain = self.param("log_gain", nn.initializers.zeros, (2,))
        self.hidden = nn.Dense(self.width)
        self.out = nn.Dense(self.dim, kernel_init=nn.initializers.zeros)
        self.drop = nn.Dropout(self.dropout)

    def read(self, x: Inputs, mask: Array) -> Array:
        """Taste [1 + dim] from items x of [K, ...]; padding has mask 0."""
        still = not self.has_rng("dropout")
        count = jnp.maximum(jnp.sum(mask), 1.0)
        pooled = self.drop(mask @ self.id_known(x.id) * jax.lax.rsqrt(count), deterministic=still)
        inputs = jnp.append(pooled, jnp.log(count))
        hidden = self.drop(nn.relu(self.hidden(inputs)), deterministic=still)
        gain = jnp.exp(self.log_gain[0] + self.log_gain[1] * jnp.log(count))
        return jnp.append(1.0, gain * pooled + self.out(hidden)) * (jnp.sum(mask) > 0)

    def score(self, taste: Array, x: Inputs) -> Array:
        """[N] scores of items x of [N, ...]."""
        return self.id_sought(x.id) @ taste[1:] + self.id_bias(x.id)[:, 0] * taste[0]

    def __call__(self, known: Inputs, mask: Array, sought: Inputs) -> Array:
        return self.score(self.read(known, mask), sought)
