"""Rows of examples: what is done to each array that has one entry an example, and to no other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metarec_jax.types import Inputs


def map_rows(function: Callable[..., Any], *several: Any) -> Any:
    """`function` of the arrays that have a row axis, of one or several pytrees of examples of ONE task.

    The context in `Inputs` belongs to the task and not to a row; it stays as the first pytree has it.

    Args:
      function: arrays [N, ...], one of each pytree -> an array.
      several: `Examples`, or an x of them, of one structure.
    """

    def apply(*nodes: Any) -> Any:
        if not isinstance(nodes[0], Inputs):
            return function(*nodes)
        ids, contents, _ = zip(*nodes, strict=True)
        return Inputs(function(*ids), function(*contents), nodes[0].context)

    return jax.tree.map(apply, *several, is_leaf=lambda node: isinstance(node, Inputs))


def join_rows(*several: Any) -> Any:
    """The rows of all examples, one after another; the context is that of the first."""
    return map_rows(lambda *parts: jnp.concatenate(parts), *several)
