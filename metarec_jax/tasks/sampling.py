"""Uniform draws without replacement at a cost that does not depend on how many there are to draw from."""

import jax
import jax.numpy as jnp

from metarec_jax.types import Array


def draw_distinct(key: Array, count: Array, size: int) -> Array:
    """`size` different numbers out of 0..count-1, every ordered choice equally likely.

    A Fisher-Yates shuffle stopped after `size` swaps (Knuth, TAOCP 2, 3.4.2 P), with the swapped positions kept in a
    list of length `size` instead of an array of length `count`: O(size^2) comparisons, whatever `count` is.

    Args:
      key: PRNG key.
      count: [] int32, at least 1.
      size: how many to draw.

    Returns:
      [size] int32. Where count < size only the first `count` entries are draws; mask the rest, which lie in
      0..count-1 too, so that they are safe to index with.
    """
    slots = jnp.arange(size)
    picked = jax.random.randint(key, (size,), jnp.minimum(slots, count - 1), count)

    def swap(slot, carry):
        drawn, displaced = carry

        def value_at(position):  # the latest swap that touched the position tells what lies there now
            latest = jnp.max(jnp.where((picked == position) & (slots < slot), slots, -1))
            return jnp.where(latest < 0, position, jnp.sum(jnp.where(slots == latest, displaced, 0)))

        here = slots == slot
        target = jnp.sum(jnp.where(here, picked, 0))
        drawn = jnp.where(here, value_at(target), drawn)
        return drawn, jnp.where(here, value_at(slot), displaced)

    drawn, _ = jax.lax.fori_loop(0, size, swap, (slots, slots))
    return jnp.minimum(drawn, count - 1)
