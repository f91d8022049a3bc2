"""Ridge regressions of factor models: of one new user on the device, of all training rows at once on the host."""

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from metarec_jax.ops.linear import ridge_weights
from metarec_jax.types import Array


def fold_in(
    vectors: Array, residual: Array, mask: Array, reg: Array, weighted: Array | bool, reg_bias: Array | float
) -> Array:
    """Fold-in: a new user's vector and bias in a factor model, solved jointly with all other parameters fixed.

    Args:
      vectors: [K, D] of the support items.
      residual: [K] the target of vector and bias, in units of the ratings' standard deviation.
      mask: [K] 1 real, 0 padding.
      reg: [] penalty of the vector.
      weighted: [] 1 multiplies `reg` by the number of real ratings, 0 does not.
      reg_bias: [] penalty of the bias.

    Returns:
      [D + 1] the vector and, last, the bias.
    """
    penalty = reg * jnp.where(weighted > 0, jnp.maximum(mask.sum(), 1.0), 1.0)
    unit = jnp.sqrt(penalty / reg_bias)  # rescales the bias so that the same `penalty` applies to it
    design = jnp.concatenate([vectors, jnp.full((len(vectors), 1), unit)], axis=1)
    return ridge_weights(design, residual, mask, penalty) * jnp.ones(design.shape[1]).at[-1].set(unit)


def normal_equations(
    design: np.ndarray, index: np.ndarray, target: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices and moments of one regression a row (user), of its ratings on the vectors of the columns (items).

    Args:
      design: [M, D] vectors z of the columns.
      index: [R] column of each rating, grouped by row.
      target: [R] targets t of the regressions.
      offsets: [rows + 1]; the ratings of row n are offsets[n] to offsets[n + 1].

    Returns:
      sum z z^T [rows, D, D] and sum z t [rows, D], float32; zeros for a row without ratings.
    """
    rows, size = len(offsets) - 1, len(design)
    design, target = design.astype(np.float32), target.astype(np.float32)
    members = scipy.sparse.csr_array((np.ones(len(index), np.float32), index, offsets), (rows, size))
    targets = scipy.sparse.csr_array((target, index, offsets), (rows, size))
    return sum_matrices(members, design[:, :, None] * design[:, None, :]), targets @ design


def sum_matrices(members: scipy.sparse.csr_array, matrices: np.ndarray) -> np.ndarray:
    """sum over m of members[n, m] matrices[m] for symmetric `matrices` [M, D, D]: [rows, D, D].

    One sparse product with the upper triangles. A loop over rows would be thousands of products that are too small for
    a threaded BLAS.
    """
    dim = matrices.shape[1]
    upper = np.triu_indices(dim)
    sums = np.empty((members.shape[0], dim, dim), np.float32)
    sums[:, upper[0], upper[1]] = members @ np.ascontiguousarray(matrices[:, upper[0], upper[1]])
    sums[:, upper[1], upper[0]] = sums[:, upper[0], upper[1]]
    return sums


def solve_rows(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Solutions [rows, D] of the systems `matrices` [rows, D, D] with right-hand sides `vectors` [rows, D]."""
    return np.linalg.solve(matrices, vectors[:, :, None])[:, :, 0]
