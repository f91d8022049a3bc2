"""Means shrunk by pseudo-counts."""

import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Array


def shrunk_mean(index: np.ndarray, values: np.ndarray, size: int, shrink: float) -> np.ndarray:
    """Means of `values` [R] by group, shrunk to 0 by `shrink` pseudo-observations of 0.

    Args:
      index: [R] group of each value, 0..size-1.
      values: [R].
      size: number of groups.
      shrink: number of pseudo-observations a group.

    Returns:
      [size] float64; 0 for a group without members, also where `shrink` is 0.
    """
    total = np.bincount(index, weights=values, minlength=size)
    count = np.bincount(index, minlength=size) + shrink
    return np.divide(total, count, out=np.zeros(size), where=count > 0)


def folded_mean(residual: Array, mask: Array, shrink: Array) -> Array:
    """[] mean of the real entries (`mask` [K]) of `residual` [K], shrunk to 0 by `shrink` [] pseudo-ratings."""
    return jnp.sum(mask * residual) / jnp.maximum(mask.sum() + shrink, 1e-6)
