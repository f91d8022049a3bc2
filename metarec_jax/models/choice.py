"""What somebody chose to rate tells of the taste before one rating is read: vectors of choice, and a prior from them.

Koren 2008 ("Factorization meets the neighborhood", SVD++) learns such a vector for every item from the errors of rating
predictions, which takes millions of ratings. Here the vectors start from who rated what, which needs no rating values,
and only a small linear map remains to be learnt from errors.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.models.recommender import IdTable
from metarec_jax.types import Array, Inputs

STATISTICS = 4  # columns of `choice_vectors` beside the spectral ones


class ChoicePrior(nn.Module):
    """(x of [K, ...], mask [K]) -> expected weights [dim], from which candidates were chosen, not how they were rated.

    A linear map, 0 at first, of the sum of the candidates' vectors over sqrt(K + 1) and of K: the sum of K independent
    vectors grows like sqrt(K), and SVD++ scales it so. `width` is the length of a vector; `choice_vectors` makes good
    ones to start from.
    """

    num_ids: int
    dim: int
    width: int = 32 + STATISTICS

    def setup(self) -> None:
        self.id_choice = IdTable(self.num_ids, self.width, scale=1.0)
        self.expected = nn.Dense(self.dim, kernel_init=nn.initializers.zeros)

    def summary(self, x: Inputs, mask: Array) -> Array:
        """[width + 1] the sum of the candidates' vectors, and K; summaries of two supports add up to that of both."""
        return jnp.append(mask @ self.id_choice(x.id), jnp.sum(mask))

    def expect(self, summary: Array) -> Array:
        """[dim] expected weights from a `summary`."""
        total, count = summary[:-1], summary[-1]
        shrink = jax.lax.rsqrt(count + 1.0)
        return self.expected(jnp.concatenate([total * shrink, jnp.stack([jnp.log1p(count) / 3.0, shrink])]))

    def __call__(self, x: Inputs, mask: Array) -> Array:
        return self.expect(self.summary(x, mask))
