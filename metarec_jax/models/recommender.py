"""Networks for recommendation tasks: from `Inputs` to features or to a rating. All take side features AND ids.

The tables of ids (`IdTable`) are called "id_..." in the parameters. An inner loop leaves them alone: a task meets
each id once, so a row adapted on the support would never be read for the query; meta-gradients do flow into them.
Rows start small, so that an id never met in training acts like the average one.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.types import Array, Inputs


class IdTable(nn.Module):
    """One learnt vector an id: ids [N] -> [N, dim]."""

    size: int
    dim: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        return self.param("table", nn.initializers.normal(self.scale), (self.size, self.dim))[ids]


class Encoder(nn.Module):
    """Inputs -> [N, hidden[-1]]: id vector, content and context side by side through a ReLU network."""

    num_ids: int
    id_dim: int = 32
    side_dim: int = 32
    hidden: Sequence[int] = (64, 64)

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        parts = [IdTable(self.num_ids, self.id_dim, name="id_table")(x.id)]
        parts += [
            nn.Dense(self.side_dim, name=name)(side)
            for name, side in (("content", x.content), ("context", x.context))
            if side.shape[-1]
        ]
        hidden = jnp.concatenate(parts, -1)
        for layer, width in enumerate(self.hidden):
            hidden = nn.relu(nn.Dense(width, name=f"layer_{layer}")(hidden))
        return hidden


class RatingNet(nn.Module):
    """Inputs -> predicted ratings [N]: encoder, linear head and a bias an id, around a given mean and scale."""

    num_ids: int
    mean: float = 0.0
    scale: float = 1.0
    id_dim: int = 32
    side_dim: int = 32
    hidden: Sequence[int] = (64, 64)

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        encoded = Encoder(self.num_ids, self.id_dim, self.side_dim, self.hidden, name="encoder")(x)
        bias = IdTable(self.num_ids, 1, scale=0.0, name="id_bias")(x.id)
        return self.mean + self.scale * (bias + nn.Dense(1, name="head")(encoded))[:, 0]


class TasteNet(nn.Module):
    """Inputs -> (features [N, dim], prior mean [N]): the two things a linear model of one task's taste needs.

    A rating is prior mean + features . w + noise with w ~ N(0, I) a task: the scale of the features is the prior.
    The prior mean is a bias an id plus features . M context: what people of this age, gender, ... tend to like
    beyond the average, before a single rating is known. One feature is a constant, so that w holds the task's own bias.
    """

    num_ids: int
    mean: float = 0.0
    dim: int = 64

    @nn.compact
    def __call__(self, x: Inputs) -> tuple[Array, Array]:
        taste = IdTable(self.num_ids, self.dim - 1, name="id_taste")(x.id)
        mean = self.mean + IdTable(self.num_ids, 1, scale=0.0, name="id_bias")(x.id)[:, 0]
        if x.content.shape[-1]:
            init = nn.initializers.normal(0.01)
            taste += nn.Dense(self.dim - 1, use_bias=False, kernel_init=init, name="content_taste")(x.content)
            mean += nn.Dense(1, use_bias=False, kernel_init=init, name="content_bias")(x.content)[:, 0]
        level = self.param("level", nn.initializers.constant(0.5), (1,))
        features = jnp.concatenate([taste, jnp.broadcast_to(level, (taste.shape[0], 1))], -1)
        if x.context.shape[-1]:
            expected = nn.Dense(self.dim, use_bias=False, kernel_init=nn.initializers.zeros, name="context_taste")
            mean += jnp.sum(features * expected(x.context), -1)
        return features, mean
