"""The embedding of a task's owner from the side features: what a new item is before anybody has rated it."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.models.sets import Layers
from metarec_jax.types import Array


class Generator(nn.Module):
    """Vectors [A], [B], ... -> [dim]: side by side through ReLU layers and a linear one, which starts at 0.

    So it changes nothing before it has learnt something. Where the vectors have no entries at all it reads a constant.
    Dropout is on if and only if a "dropout" key is passed to `apply`.
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
