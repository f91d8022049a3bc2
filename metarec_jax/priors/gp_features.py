"""Item features whose inner products are the kernel of the Gaussian process (GP): bias + content + item covariance."""

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.priors.statistics import co_sums

# The randomised eigensolver; with these values the leading eigenvalues of an item covariance are right to 0.1%.
OVERSAMPLING = 32  # columns beyond the rank
PASSES = 6  # power iterations


def top_eigenvectors(matrix: np.ndarray, rank: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The leading positive eigenvalues [r], descending, and eigenvectors [I, r] of a symmetric matrix [I, I], r <=
    rank.

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011, arXiv:0909.4061, algorithm 4.4).
    """
    width = min(rank + OVERSAMPLING, len(matrix))
    basis = np.random.default_rng(seed).normal(size=(len(matrix), width)).astype(matrix.dtype)
    for _ in range(PASSES):
        basis, _ = np.linalg.qr(matrix @ basis)
    values, rotation = np.linalg.eigh(basis.T @ (matrix @ basis))
    leading = np.argsort(-values)[:rank]
    leading = leading[values[leading] > 0]
    return values[leading], basis @ rotation[:, leading]


def item_covariance(train: Ratings, residual: np.ndarray, shrink: float, noise: float) -> np.ndarray:
    """Shrunk covariance [I, I] of the users' residuals [R], less the noise variance on the diagonal.

    A user with n ratings has weight 1 / sqrt(n): the user is in n^2 pairs, and the most active users would dominate.
    `shrink` is a number of pseudo-users with covariance 0 for every pair of items.
    """
    count = np.bincount(train.user, minlength=train.num_users)
    weight = 1.0 / np.sqrt(np.maximum(count, 1.0))
    weight *= len(train.user) / np.sum(weight * count)  # so that `shrink` stays in users
    root = np.sqrt(weight)[train.user]
    covariance = co_sums(train, residual * root) / (co_sums(train, root) + np.float32(shrink))
    np.fill_diagonal(covariance, np.maximum(np.diag(covariance) - noise, 0.0))
    return covariance


def content_scale(side: np.ndarray, content: float) -> float:
    """Factor of the side features [I, F] that gives an average item's rating a prior variance of `content`."""
    norm = np.mean(np.sum(side.astype(np.float64) ** 2, axis=1))
    return float(np.sqrt(content / max(norm, 1e-12)))


def gp_features(
    train: Ratings, residual: np.ndarray, *, rank: int, shrink: float, noise: float, bias: float, content: float
) -> np.ndarray:
    """Phi [I, D] float32 with D = 1 + F + r: Phi Phi^T is the prior covariance of one user's ratings.

    Args:
      train: the training ratings.
      residual: [R] ratings less the biases of item and user.
      rank: of the item covariance; 0 leaves it out, and with it every item-item matrix.
      shrink: see `item_covariance`.
      noise: variance of the noise in `residual`.
      bias: prior variance of a user's bias.
      content: prior variance that the item features together give to an average item's rating.

    Raises:
      TooLarge: rank > 0 and more items than `statistics.MAX_ITEMS`.
    """
    side = train.item_features.values
    columns = [np.full((train.num_items, 1), np.sqrt(bias)), side * content_scale(side, content)]
    if rank > 0:
        values, vectors = top_eigenvectors(item_covariance(train, residual, shrink, noise), rank)
        columns.append(vectors * np.sqrt(values))
        columns.append(np.zeros((train.num_items, rank - len(values))))  # tables of one size have features of one size
    return np.concatenate(columns, axis=1).astype(np.float32)
