"""A function of many tasks in batches, which bounds the memory of predicting and scoring."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FEW = 16  # inputs for which a program of its own is worth it


def in_batches(function: Callable[[Any], Any], inputs: Any, batch: int) -> Any:
    """`jax.vmap(function)(inputs)`, at most `batch` at a time.

    All batches have the same size, and the last one is padded with copies of the last input. `jax.lax.map` would
    compile the function once more for the remainder, and compiling a learner takes longer than predicting.

    Args:
      function: a function of one input.
      inputs: a pytree, leading [N] on every leaf, N at least 1.
      batch: the largest number of inputs at a time.

    Returns:
      The outputs, leading [N] on every leaf.
    """
    number = len(jax.tree.leaves(inputs)[0])
    batches = -(-number // batch)
    size = -(-number // batches)
    rows = jnp.minimum(jnp.arange(batches * size), number - 1).reshape(batches, size)

    def apply_rows(rows: jax.Array) -> Any:
        return jax.vmap(function)(jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], inputs))

    outputs = jax.lax.map(apply_rows, rows)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:number], outputs)


def in_blocks(function: Callable[[Any], Any], inputs: Any, batch: int) -> Any:
    """What a compiled function of several inputs makes of [N, ...], `batch` of them at a time, as numpy arrays.

    All blocks have one of two sizes, whatever N is, so that one compiled program serves the held-out tasks of every
    seed; the last one is padded with copies of the last input.

    Args:
      function: a function of inputs with a leading axis, whose outputs have it too.
      inputs: a pytree, leading [N] on every leaf, N at least 1.
      batch: inputs at a time.
    """
    number = len(jax.tree.leaves(inputs)[0])
    size = min(batch, FEW) if number <= FEW else batch
    outputs = []
    for first in range(0, number, size):
        rows = np.minimum(np.arange(first, first + size), number - 1)
        outputs.append(function(jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], inputs)))
    return jax.tree.map(lambda *blocks: np.concatenate([np.asarray(block) for block in blocks])[:number], *outputs)
