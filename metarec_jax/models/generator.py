"""A generator of the embedding of a task's owner, for example a new item, from its side features."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.models.sets import Layers
from metarec_jax.types import Array


class Generator(nn.Module):
    """Vectors [A], [B], ... -> [dim]: concatenated, through ReLU layers and a linear layer that starts at 0.

    So the output is 0 before training. If the vectors have no entries, the input is the constant 1. Dropout is on if
    and only if a "dropout" key is passed to `apply`.
    """

    dim: int
    hidden: Sequence[int] = (32,)
    dropout: float = 0.0
    kernel_init: Callable = nn.initializers.zeros  # of the last layer

    @nn.compact
    def __call__(self, *vectors: Array) -> Array:
        joined = jnp.concatenate(vectors)
        hidden = Layers(self.hidden, self.dropout, name="layers")(joined if len(joined) else jnp.ones(1))
        return nn.Dense(self.dim, kernel_init=self.kernel_init, name="out")(hidden)
