"""Side features of several kinds fused into one vector: words, names, pictures, any of which may be missing.

A group is what stands before "=" in the features' names. It is missing where all its columns are 0; then a learnt
vector stands in for what it would have said.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.types import Array


class Span(NamedTuple):
    """The columns `first` to `end` - 1 of a feature table, which are one group."""

    name: str
    first: int
    end: int


def group_spans(names: Sequence[str]) -> tuple[Span, ...]:
    """The groups of columns called `group=value`, in their order.

    Raises:
      ValueError: the columns of a group do not stand side by side.
    """
    spans, first = [], 0
    for name, columns in groupby(name.partition("=")[0] for name in names):
        end = first + len(list(columns))
        spans.append(Span(name, first, end))
        first = end
    if len({span.name for span in spans}) < len(spans):
        raise ValueError(f"the columns of a group do not stand side by side: {', '.join(s.name for s in spans)}.")
    return tuple(spans)


def hide_groups(side: Array, spans: Sequence[Span], shown: Array) -> Array:
    """Features [..., G] with 0 in the groups where `shown` [len(spans)] is 0, which so are missing."""
    columns = [jnp.broadcast_to(shown[place], (span.end - span.first,)) for place, span in enumerate(spans)]
    return side * jnp.concatenate([*columns, jnp.zeros(0, side.dtype)])


class ContentEncoder(nn.Module):
    """Features [N, G] of entities, in the groups `spans` -> [N, dim].

    The sum over the groups of a linear map, plus a small network: a ReLU layer of `width` a group, their mean over the
    groups that are there, weighted by a softmax of what each says of its own weight, and a last layer that is 0 at
    first. Where a group is missing a learnt vector, 0 at first, takes the place of its linear map. All starts at 0, so
    that a linear model can be put into the maps `linear_<group>`.
    """

    spans: Sequence[Span]
    dim: int
    width: int = 32

    @nn.compact
    def __call__(self, side: Array) -> Array:
        zeros = nn.initializers.zeros
        total = jnp.zeros((side.shape[0], self.dim))
        hidden, logits, mask = [], [], []
        for name, first, end in self.spans:
            part = side[:, first:end]
            there = jnp.any(part != 0, -1)
            linear = nn.Dense(self.dim, use_bias=False, kernel_init=zeros, name=f"linear_{name}")(part)
            instead = self.param(f"missing_{name}", zeros, (self.dim,))
            total += jnp.where(there[:, None], linear, instead)
            hidden.append(nn.relu(nn.Dense(self.width, name=f"hidden_{name}")(part)))
            logits.append(nn.Dense(1, kernel_init=zeros, name=f"weight_{name}")(hidden[-1])[:, 0])
            mask.append(there)
        if not self.spans:
            return total
        there = jnp.stack(mask)
        shares = jax.nn.softmax(jnp.where(there, jnp.stack(logits), -1e9), 0) * there  # [groups, N]
        fused = jnp.einsum("gn,gnw->nw", shares, jnp.stack(hidden))
        return total + nn.Dense(self.dim, kernel_init=zeros, name="fused")(fused)
