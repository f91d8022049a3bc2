"""Normalisation of vectors to unit length, and attention."""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Array


def unit(vectors: Array) -> Array:
    """Vectors [N, D] scaled to length 1; vectors of length 0 stay 0."""
    return vectors * jax.lax.rsqrt(jnp.sum(jnp.square(vectors), -1, keepdims=True) + 1e-12)


def unit_rows(values: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length 1; rows of zeros stay 0."""
    return values / np.maximum(np.sqrt(np.sum(values**2, axis=1, keepdims=True)), 1e-9)


def masked_logits(logits: Array, mask: Array) -> Array:
    """Logits [..., K] of a softmax over the real entries; an entry of weight 2 in `mask` [K] counts as two entries."""
    real = mask > 0
    return jnp.where(real, logits + jnp.log(jnp.where(real, mask, 1.0)), -1e9)


def attend(queries: Array, keys: Array, values: Array, mask: Array) -> Array:
    """Scaled dot-product attention, softmax(Q K' / sqrt(d)) V (Vaswani et al. 2017, eq. 1), for each of H heads.

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
    """Attention weights [N, K] from logits [N, K], with one more entry of logit `none` [].

    They are a softmax over the real entries (`mask` [K]) and the extra one. The weight of the extra entry is dropped,
    so the weights add up to less than 1, and to 0 at K = 0.
    """
    logits = masked_logits(logits, mask)
    slot = jnp.broadcast_to(none, (logits.shape[0], 1))
    return jax.nn.softmax(jnp.concatenate([logits, slot], -1), -1)[:, :-1]
