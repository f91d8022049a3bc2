"""Uniform draws without replacement at a cost that does not depend on the size of the population."""

import jax
import jax.numpy as jnp

from metarec_jax.types import Array


def below(bits: Array, count: Array | int) -> Array:
    """Random 32-bit words as int32 numbers 0..count-1. The bias of the remainder is at most count / 2^32."""
    return (bits % jnp.asarray(count).astype(jnp.uint32)).astype(jnp.int32)


def draw_distinct(bits: Array, count: Array) -> Array:
    """Distinct numbers out of 0..count-1, one for each word of `bits` [size]; every ordered choice is equally likely.

    A Fisher-Yates shuffle stopped after `size` swaps (Knuth, TAOCP 2, 3.4.2 P), with the swapped positions kept in a
    list of length `size` instead of an array of length `count`: O(size^2) comparisons, whatever `count` is.

    Args:
      bits: [size] uint32 from `jax.random.bits`, one word a draw. (One call for all random numbers of an episode
        compiles and runs much faster than several calls of `randint`.)
      count: [] int32, at least 1.

    Returns:
      [size] int32. Where count < size only the first `count` entries are draws. The caller must mask the others, which
      are in 0..count-1 too and thus safe to index with.
    """
    size = bits.shape[0]
    slots = jnp.arange(size)
    first = jnp.minimum(slots, count - 1)
    picked = first + below(bits, count - first)

    def swap(slot, carry):
        drawn, displaced = carry

        def value_at(position):  # the latest swap at this position gives its value
            latest = jnp.max(jnp.where((picked == position) & (slots < slot), slots, -1))
            return jnp.where(latest < 0, position, jnp.sum(jnp.where(slots == latest, displaced, 0)))

        is_slot = slots == slot
        target = jnp.sum(jnp.where(is_slot, picked, 0))
        drawn = jnp.where(is_slot, value_at(target), drawn)
        return drawn, jnp.where(is_slot, value_at(slot), displaced)

    drawn, _ = jax.lax.fori_loop(0, size, swap, (slots, slots))
    return jnp.minimum(drawn, count - 1)
