"""A function on many tasks, so many at a time: what bounds the memory of predicting and scoring."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_batches(function: Callable[[Any], Any], inputs: Any, batch: int) -> Any:
    """`jax.vmap(function)(inputs)`, at most `batch` at a time.

    The batches are of one size, the last one filled up with the last input again: what `jax.lax.map` leaves over it
    would compile, and for a learner compiling takes longer than predicting.

    Args:
      function: of one input.
      inputs: [N] leading on every leaf, N at least 1.
      batch: at most so many at a time.
    """
    number = len(jax.tree.leaves(inputs)[0])
    batches = -(-number // batch)
    size = -(-number // batches)
    rows = jnp.minimum(jnp.arange(batches * size), number - 1).reshape(batches, size)

    def of_rows(rows: jax.Array) -> Any:
        return jax.vmap(function)(jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], inputs))

    found = jax.lax.map(of_rows, rows)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:number], found)
