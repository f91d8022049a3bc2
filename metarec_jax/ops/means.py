"""Means that are shrunk by pseudo-counts."""

import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Array


def shrunk_mean(index: np.ndarray, values: np.ndarray, size: int, shrink: float) -> np.ndarray:
    """Means of `values` [R] by group, pulled to 0 by `shrink` pseudo-observations of 0.

    Returns [size] float64; a group without members gets 0, also where `shrink` is 0.
    """
    total = np.bincount(index, weights=values, minlength=size)
    count = np.bincount(index, minlength=size) + shrink
    return np.divide(total, count, out=np.zeros(size), where=count > 0)


def folded_mean(residual: Array, mask: Array, shrink: Array) -> Array:
    """Mean of the real entries of `residual` [K], pulled to 0 by `shrink` pseudo-ratings; 0 where there are none."""
    return jnp.sum(mask * residual) / jnp.maximum(mask.sum() + shrink, 1e-6)
