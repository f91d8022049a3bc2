"""Ridge regression many times over: one new user's weights on the device, all training rows at once on the host."""

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from metarec_jax.ops.linear import ridge_weights
from metarec_jax.types import Array


def fold_in(vectors: Array, residual: Array, mask: Array, reg: Array, weighted: Array, reg_bias: Array) -> Array:
    """A new user's vector and bias in a factor model, solved jointly with everything else fixed.

    Args:
      vectors: [K, D] of the support items.
      residual: [K] what the vector and the bias are to explain, in units of the ratings' standard deviation.
      mask: [K] 1 real, 0 padding.
      reg: [] penalty of the vector.
      weighted: [] 1 multiplies `reg` by the number of real ratings, 0 does not.
      reg_bias: [] penalty of the bias.

    Returns:
      [D + 1] the vector and, last, the bias.
    """
    penalty = reg * jnp.where(weighted > 0, jnp.maximum(mask.sum(), 1.0), 1.0)
    unit = jnp.sqrt(penalty / reg_bias)  # rescales the bias so that `penalty` is right for it too
    design = jnp.concatenate([vectors, jnp.full((len(vectors), 1), unit)], axis=1)
    return ridge_weights(design, residual, mask, penalty) * jnp.ones(design.shape[1]).at[-1].set(unit)


def normal_equations(
    design: np.ndarray, other: np.ndarray, target: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices and moments of the regression of each row's ratings on the vectors of the other side.

    Args:
      design: [M, D] vectors of the other side (of items where the rows are users).
      other: [R] index into `design` of each rating, grouped by row.
      target: [R] what the regression explains.
      offsets: [rows + 1]; the ratings of row n are offsets[n] to offsets[n + 1].

    Returns:
      sum z z^T [rows, D, D] and sum z t [rows, D], float32; zeros for a row without ratings.
    """
    rows, size = len(offsets) - 1, len(design)
    design, target = design.astype(np.float32), target.astype(np.float32)
    members = scipy.sparse.csr_array((np.ones(len(other), np.float32), other, offsets), (rows, size))
    targets = scipy.sparse.csr_array((target, other, offsets), (rows, size))
    return sum_matrices(members, design[:, :, None] * design[:, None, :]), targets @ design


def sum_matrices(members: scipy.sparse.csr_array, matrices: np.ndarray) -> np.ndarray:
    """sum over m of members[n, m] matrices[m] for symmetric `matrices` [M, D, D]: [rows, D, D].

    One sparse product with the upper triangles. A loop over rows would be thousands of products too small for a
    threaded BLAS, whose threads then mostly wait for each other.
    """
    dim = matrices.shape[1]
    upper = np.triu_indices(dim)
    found = np.empty((members.shape[0], dim, dim), np.float32)
    found[:, upper[0], upper[1]] = members @ np.ascontiguousarray(matrices[:, upper[0], upper[1]])
    found[:, upper[1], upper[0]] = found[:, upper[0], upper[1]]
    return found


def solve_rows(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Solutions [rows, D] of the systems `matrices` [rows, D, D] with right-hand sides `vectors` [rows, D]."""
    return np.linalg.solve(matrices, vectors[:, :, None])[:, :, 0]
