"""Ridge regression of one task: what the ridge head and the factor baselines adapt by."""

import jax
import jax.numpy as jnp

from metarec_jax.types import Array


def solve_positive_definite(matrix: Array, vector: Array) -> Array:
    """x [N] with matrix x = vector, by Gauss-Jordan elimination without pivots; matrix [N, N] positive definite.

    Its derivative is another solve with the same matrix (implicit differentiation), not a walk back through the steps.

    Not `jax.scipy.linalg.solve`: on a CPU its batches go to LAPACK on XLA's own thread pool, and two of them at once
    (the chunks and the remainder of a `lax.map`) have been seen to wait for each other for ever on two cores.
    """

    if len(vector) == 0:
        return vector

    def eliminate(k: Array, rows: Array) -> Array:
        pivot = rows[k] / rows[k, k]
        return (rows - rows[:, k, None] * pivot).at[k].set(pivot)

    def solve(_, right: Array) -> Array:
        return jax.lax.fori_loop(0, len(right), eliminate, jnp.column_stack([matrix, right]))[:, -1]

    return jax.lax.custom_linear_solve(lambda x: matrix @ x, vector, solve, symmetric=True)


def ridge_weights(features: Array, target: Array, mask: Array, noise: Array) -> Array:
    """argmin_w sum_k mask_k (target_k - features_k . w)^2 / noise + |w|^2, the posterior mean under w ~ N(0, I).

    Solves the smaller of the K x K and the D x D system; both are positive definite, and K = 0 gives zeros.

    Args:
      features: [K, D], scaled so that the prior covariance of w is the identity.
      target: [K] residuals of the support ratings from the prior mean.
      mask: [K] 1 real, 0 padding.
      noise: [] positive noise variance, in the squared unit of `target`.

    Returns:
      [D] the weights.
    """
    root = jnp.sqrt(mask / noise)  # rows of unit noise; padding becomes rows of zeros
    z, t = features * root[:, None], target * root
    k, d = z.shape
    if k <= d:
        gram = jnp.matmul(z, z.T, precision="highest") + jnp.eye(k, dtype=z.dtype)
        return z.T @ solve_positive_definite(gram, t)
    gram = jnp.matmul(z.T, z, precision="highest") + jnp.eye(d, dtype=z.dtype)
    return solve_positive_definite(gram, z.T @ t)
