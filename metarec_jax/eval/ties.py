"""Ranks with ties: how many rows are ahead of a row and how many tie with it, and what that is worth."""

import jax.numpy as jnp

from metarec_jax.types import Array


def rank_counts(values: Array, prediction: Array, mask: Array) -> tuple[Array, Array]:
    """For each of [N] values: how many of the real ones of [Q] predictions are higher, and how many are equal.

    By sorting, O((Q + N) log Q): the predictions may be those of a whole catalogue.
    """
    ordered = jnp.sort(jnp.where(mask > 0, prediction, -jnp.inf))
    behind, not_ahead = (jnp.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return len(ordered) - not_ahead, not_ahead - behind


def tie_groups(prediction: Array, mask: Array) -> tuple[Array, Array]:
    """For each of [Q] rows: the real rows strictly ahead of it, and those tied with it (at least itself).

    What padding gets means nothing.
    """
    ahead, tied = rank_counts(prediction, prediction, mask)
    return ahead, jnp.maximum(tied, 1)


def dcg_sums(k: int) -> Array:
    """[k + 1] the discounts of ranks 1..n in sum, n = 0..k; rank 1 has 1/log2(2) = 1."""
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(1.0 / jnp.log2(jnp.arange(k) + 2.0))])


def mean_discount(ahead: Array, tied: Array, k: int) -> Array:
    """What a member of a tie group on ranks a+1..a+m adds to the expected DCG@k: the mean discount of these ranks, 0
    past k."""
    total = dcg_sums(k)
    return (total[jnp.minimum(ahead + tied, k)] - total[jnp.minimum(ahead, k)]) / tied
