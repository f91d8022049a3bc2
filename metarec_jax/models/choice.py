"""A prior for a user's weights from WHICH items the user rated, before the rating values are read.

Koren 2008 ("Factorization meets the neighborhood", SVD++) learns an implicit-feedback vector of every item from rating
errors, which takes millions of ratings. Here the vectors start from who rated what (`priors.choice`), without rating
values, and only a small linear map is learnt from errors.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.models.recommender import IdTable
from metarec_jax.types import Array, Inputs

STATISTICS = 4  # columns of `priors.choice.choice_vectors` beside the spectral ones


class ChoicePrior(nn.Module):
    """(x of [K, ...], mask [K]) -> expected weights [dim], from the candidates of the support without their ratings.

    A linear map, initially 0, of K and of the sum of the candidates' vectors divided by sqrt(K + 1), as in SVD++: the
    sum of K independent vectors grows like sqrt(K).

    Attributes:
      num_ids: number of candidates.
      dim: number of weights.
      width: length of a candidate's vector; `priors.choice.choice_vectors` gives good initial ones.
    """

    num_ids: int
    dim: int
    width: int = 32 + STATISTICS

    def setup(self) -> None:
        """Make the table of vectors and the linear map."""
        self.id_choice = IdTable(self.num_ids, self.width, scale=1.0)
        self.expected = nn.Dense(self.dim, kernel_init=nn.initializers.zeros)

    def summary(self, x: Inputs, mask: Array) -> Array:
        """[width + 1] the sum of the candidates' vectors, and K. The summary of two supports together is the sum of
        their summaries."""
        return jnp.append(mask @ self.id_choice(x.id), jnp.sum(mask))

    def expect(self, summary: Array) -> Array:
        """[dim] expected weights from a `summary`."""
        total, count = summary[:-1], summary[-1]
        shrink = jax.lax.rsqrt(count + 1.0)
        return self.expected(jnp.concatenate([total * shrink, jnp.stack([jnp.log1p(count) / 3.0, shrink])]))

    def __call__(self, x: Inputs, mask: Array) -> Array:
        return self.expect(self.summary(x, mask))
