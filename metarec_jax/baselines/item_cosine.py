"""Item-kNN for ranking: the sum of shrunk cosine similarities between the user's items and the candidate.

Cosine of co-occurrence with a shrink term in the denominator (Ferrari Dacrema, Cremonesi and Jannach 2019,
arXiv:1907.06902, section 3.2), summed over the whole support set, which is small in cold start.
"""

import functools

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines import ease
from metarec_jax.data.table import Ratings
from metarec_jax.priors.ease import popularity_prior
from metarec_jax.priors.statistics import co_sums, interactions
from metarec_jax.types import Array, Baseline, Params


def fit(train: Ratings, *, shrink: float = 50.0, liked: bool = True, popularity: float = 1e-3) -> Params:
    """Params of `ease.adapt`: weights [I, I] n_ij / (sqrt(n_i n_j) + shrink), zero diagonal; prior [I]; least [].

    Args:
      train: the training ratings.
      shrink: pseudo-users in the denominator.
      liked: see `ease.fit`.
      popularity: see `ease.fit`.

    Raises:
      TooLarge: more items than `statistics.MAX_ITEMS`.
    """
    interacted, least = interactions(train, liked)
    return {
        "weights": fitted_weights(train, shrink, liked),
        "prior": jnp.float32(popularity_prior(train, interacted, popularity)),
        "least": jnp.float32(least),
    }


@functools.lru_cache(maxsize=1)
def fitted_weights(train: Ratings, shrink: float, liked: bool) -> Array:
    """The weights [I, I] of `fit` on the device, cached: settings that differ in the prior only share the weights."""
    interacted, _ = interactions(train, liked)
    count = co_sums(train, interacted)
    root = np.sqrt(np.diag(count))
    # An item without interactions has a row of zeros; the floor avoids 0 / 0 when shrink is 0.
    weights = count / np.maximum(root[:, None] * root + np.float32(shrink), 1e-6)
    np.fill_diagonal(weights, 0.0)
    return jnp.float32(weights)


ITEM_COSINE = Baseline(fit, ease.adapt, ease.predict, output="score")
