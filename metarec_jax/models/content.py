"""Multimodal side features (words, names, pictures) fused into one vector; any group of them may be missing.

The name of a feature is `group=value`. A group is missing where all its columns are 0; then a learnt vector replaces
its contribution.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.types import Array


class Span(NamedTuple):
    """One group of a feature table: the columns `first` to `end` - 1."""

    name: str
    first: int
    end: int


def group_spans(names: Sequence[str]) -> tuple[Span, ...]:
    """The groups of columns called `group=value`, in their order.

    Raises:
      ValueError: the columns of a group are not adjacent.
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
    """Features `side` [..., G] with 0 in the groups where `shown` [len(spans)] is 0, which makes them missing."""
    columns = [jnp.broadcast_to(shown[place], (span.end - span.first,)) for place, span in enumerate(spans)]
    return side * jnp.concatenate([*columns, jnp.zeros(0, side.dtype)])


class ContentEncoder(nn.Module):
    """Features [N, G] of entities, in the groups `spans` -> [N, dim].

    The sum over the groups of a linear map, plus a small network: a ReLU layer of `width` units a group, the mean of
    these over the groups present, weighted by a softmax of a learnt logit of each group's layer, and a linear layer.
    Where a group is missing, a learnt vector replaces its linear map. Maps, vectors and the last layer start at 0, so
    that the maps `linear_<group>` can be set to a linear model.
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
            columns = side[:, first:end]
            present = jnp.any(columns != 0, -1)
            linear = nn.Dense(self.dim, use_bias=False, kernel_init=zeros, name=f"linear_{name}")(columns)
            missing = self.param(f"missing_{name}", zeros, (self.dim,))
            total += jnp.where(present[:, None], linear, missing)
            hidden.append(nn.relu(nn.Dense(self.width, name=f"hidden_{name}")(columns)))
            logits.append(nn.Dense(1, kernel_init=zeros, name=f"weight_{name}")(hidden[-1])[:, 0])
            mask.append(present)
        if not self.spans:
            return total
        present = jnp.stack(mask)
        weights = jax.nn.softmax(jnp.where(present, jnp.stack(logits), -1e9), 0) * present  # [groups, N]
        fused = jnp.einsum("gn,gnw->nw", weights, jnp.stack(hidden))
        return total + nn.Dense(self.dim, kernel_init=zeros, name="fused")(fused)
