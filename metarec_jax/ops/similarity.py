"""Similarities between vectors, and attention by them."""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Array


def unit(vectors: Array) -> Array:
    """Vectors [N, D] at length 1; those of length 0 stay there."""
    return vectors * jax.lax.rsqrt(jnp.sum(jnp.square(vectors), -1, keepdims=True) + 1e-12)


def unit_rows(values: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays."""
    return values / np.maximum(np.sqrt(np.sum(values**2, axis=1, keepdims=True)), 1e-9)


def masked_logits(logits: Array, mask: Array) -> Array:
    """Logits [..., K] of a softmax over the real of K: an entry of weight 2 (mask [K]) is the entry twice."""
    real = mask > 0
    return jnp.where(real, logits + jnp.log(jnp.where(real, mask, 1.0)), -1e9)


def attend(queries: Array, keys: Array, values: Array, mask: Array) -> Array:
    """Scaled dot-product attention, softmax(Q K' / sqrt(d)) V (Vaswani 2017, eq. 1), a head at a time.

    Args:
      queries: [N, H, d].
      keys, values: [K, H, d] and [K, H, e].
      mask: [K] 1 real, 0 padding; at least one is real.

    Returns:
      [N, H, e].
    """
    scores = jnp.einsum("nhd,khd->nhk", queries, keys) / jnp.sqrt(jnp.asarray(keys.shape[-1], keys.dtype))
    return jnp.einsum("nhk,khe->nhe", jax.nn.softmax(masked_logits(scores, mask), -1), values)


def attend_or_none(logits: Array, mask: Array, none: Array) -> Array:
    """Shares [N, K] of attention: softmax of logits [N, K] over the real of K (mask [K]) and a slot of logit `none` [].

    What the slot takes is lost, so that shares add up to less than 1, and to 0 at K = 0.
    """
    logits = masked_logits(logits, mask)
    slot = jnp.broadcast_to(none, (logits.shape[0], 1))
    return jax.nn.softmax(jnp.concatenate([logits, slot], -1), -1)[:, :-1]
