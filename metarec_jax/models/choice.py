"""What somebody chose to rate tells of the taste before one rating is read: vectors of choice, and a prior from them.

Koren 2008 ("Factorization meets the neighborhood", SVD++) learns such a vector for every item from the errors of rating
predictions, which takes millions of ratings. Here the vectors start from who rated what, which needs no rating values,
and only a small linear map remains to be learnt from errors.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings
from metarec_jax.models.recommender import IdTable
from metarec_jax.types import Array, Inputs

STATISTICS = 4  # columns of `choice_vectors` beside the spectral ones
PSEUDO_USERS = 5.0  # added to an item's raters, so that a rare item does not have a vector as long as its chance


def choice_vectors(train: Ratings, dim: int) -> np.ndarray:
    """[I, dim + STATISTICS] float32 vectors of the items, of mean square 1 over the ratings.

    The first `dim` are the leading axes of a correspondence analysis of who rated what (Benzecri 1973): the singular
    vectors of the user x item table of 0 and 1, rows and columns divided by the roots of their sums, without the
    trivial first one. Fewer where there are not so many. The last are popularity (log) and mean rating, standardised,
    and their squares less 1.
    """
    raters = np.bincount(train.item, minlength=train.num_items).astype(np.float64)
    rated = np.bincount(train.user, minlength=train.num_users).astype(np.float64)
    weight = 1.0 / np.sqrt(rated[train.user] * (raters[train.item] + PSEUDO_USERS))
    table = scipy.sparse.csr_matrix((weight, (train.user, train.item)), shape=(train.num_users, train.num_items))
    axes = min(dim, min(table.shape) - 2)
    _, values, rows = scipy.sparse.linalg.svds(table, k=axes + 1, random_state=0)
    spectral = rows[np.argsort(-values)[1:]].T / np.sqrt(raters + PSEUDO_USERS)[:, None]
    spectral /= np.sqrt(np.mean(spectral[train.item] ** 2, 0)) + 1e-12
    total = np.bincount(train.item, train.rating, train.num_items) + PSEUDO_USERS * train.rating.mean()
    statistics = [_standard(of, train.item) for of in (np.log1p(raters), total / (raters + PSEUDO_USERS))]
    parts = [spectral, np.zeros((train.num_items, dim - axes)), *(s[:, None] for s in statistics)]
    return np.concatenate(parts + [s[:, None] ** 2 - 1.0 for s in statistics], 1).astype(np.float32)


def _standard(values: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Values [I] of mean 0 and variance 1 over the ratings' items [R]."""
    over = values[items]
    return (values - over.mean()) / (over.std() + 1e-6)


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
