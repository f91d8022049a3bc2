"""Matrix factorisation of implicit feedback by alternating least squares (Hu, Koren and Volinsky 2008, "Collaborative
filtering for implicit feedback datasets").

Every pair of user and item is an example: a 1 with confidence 1 + alpha where there was an interaction, and a 0 with
confidence 1 elsewhere. A new user's vector is the user's half of a sweep, on the support set.
"""

import functools

import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import solve_rows, sum_matrices
from metarec_jax.ops.linear import solve_positive_definite
from metarec_jax.priors.ease import popularity_prior
from metarec_jax.priors.statistics import interactions, rating_matrix
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def fit(
    train: Ratings,
    *,
    dim: int = 32,
    reg: float = 10.0,
    alpha: float = 10.0,
    popularity: float = 1e-3,
    liked: bool = True,
    sweeps: int = 8,
    seed: int = 0,
) -> Params:
    """Vectors of the items. Those of the training users are not kept, because test users are new.

    Args:
      train: the training ratings.
      dim: length of a vector.
      reg: lambda of the paper.
      alpha: additional confidence of an interaction.
      popularity, liked: see `ease.fit`.
      sweeps: number of alternations.
      seed: of the initial vectors.

    Returns:
      factors [I, dim]; gram [dim, dim], the sum over items of y y^T plus lambda I; alpha []; prior [I] of the scores;
      least [], the least rating that counts.
    """
    interacted, least = interactions(train, liked)
    item = item_vectors(train, dim, reg, alpha, liked, sweeps, seed)
    return {
        "factors": jnp.float32(item),
        "gram": jnp.float32(regularised_gram(item, reg)),
        "alpha": jnp.float32(alpha),
        "prior": jnp.float32(popularity_prior(train, interacted, popularity)),
        "least": jnp.float32(least),
    }


@functools.lru_cache(maxsize=1)
def item_vectors(train: Ratings, dim: int, reg: float, alpha: float, liked: bool, sweeps: int, seed: int) -> np.ndarray:
    """The vectors [I, dim] of `fit`, cached: settings that differ in the prior only have the same vectors."""
    interacted, _ = interactions(train, liked)
    members = rating_matrix(train, interacted)
    transposed = members.T.tocsr()
    item = np.random.default_rng(seed).normal(0.0, 0.1, (train.num_items, dim)).astype(np.float32)

    def half_sweep(rows, vectors: np.ndarray) -> np.ndarray:
        """Eq. 4 (and 5): x_u = (Y'Y + Y'(C_u - I)Y + lambda I)^-1 Y' C_u p_u, for all rows at once."""
        gram = sum_matrices(rows, alpha * vectors[:, :, None] * vectors[:, None, :]) + regularised_gram(vectors, reg)
        return solve_rows(gram, (1.0 + alpha) * (rows @ vectors)).astype(np.float32)

    for _ in range(sweeps):
        item = half_sweep(transposed, half_sweep(members, item))
    return item


def regularised_gram(vectors: np.ndarray, reg: float) -> np.ndarray:
    """V'V + reg I [D, D] of vectors [M, D]."""
    return vectors.T @ vectors + np.float32(reg) * np.eye(vectors.shape[1], dtype=np.float32)


def adapt(params: Params, support: Examples) -> Fast:
    """vector [dim] of the new user (eq. 4), 0 without support."""
    known = params["factors"][support.x.id]
    counts = support.mask * (support.y >= params["least"])
    gram = params["gram"] + params["alpha"] * known.T @ (counts[:, None] * known)
    vector = solve_positive_definite(gram, (1.0 + params["alpha"]) * counts @ known)
    return {"factors": params["factors"], "vector": vector, "prior": params["prior"]}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] scores: the predicted preference plus the popularity prior."""
    return fast["prior"][x.id] + fast["factors"][x.id] @ fast["vector"]


IMPLICIT_ALS = Baseline(fit, adapt, predict, output="score")
