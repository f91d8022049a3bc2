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
        if self.has_variable("params", "table"):  # perhaps some of its rows, and ids that are places among them
            return self.get_variable("params", "table")[ids]
        return self.param("table", nn.initializers.normal(self.scale), (self.size, self.dim))[ids]


class Encoder(nn.Module):
    """Inputs -> [N, hidden[-1]]: id vector, content and context side by side through a ReLU network.

    With `task_dim` there is one more input, a vector "task" that is 0 in every row until a learner moves it. Without
    `use_ids` only the side features are read, and a constant where there are none.
    """

    num_ids: int
    id_dim: int = 32
    side_dim: int = 32
    hidden: Sequence[int] = (64, 64)
    task_dim: int = 0
    use_ids: bool = True

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        parts = [IdTable(self.num_ids, self.id_dim, name="id_table")(x.id)] if self.use_ids else []
        parts += [
            nn.Dense(self.side_dim, name=name)(side)
            for name, side in (("content", x.content), ("context", x.context))
            if side.shape[-1]
        ]
        if self.task_dim:
            task = self.param("task", nn.initializers.zeros, (self.task_dim,))
            parts.append(jnp.broadcast_to(task, (x.id.shape[0], self.task_dim)))
        hidden = jnp.concatenate(parts or [jnp.ones((x.id.shape[0], 1))], -1)
        for layer, width in enumerate(self.hidden):
            hidden = nn.relu(nn.Dense(width, name=f"layer_{layer}")(hidden))
        return hidden


class RatingNet(nn.Module):
    """Inputs -> predicted ratings [N]: encoder, linear head and a bias an id, around a given mean and scale.

    Without `use_ids` neither the encoder nor a bias knows the id.
    """

    num_ids: int
    mean: float = 0.0
    scale: float = 1.0
    id_dim: int = 32
    side_dim: int = 32
    hidden: Sequence[int] = (64, 64)
    task_dim: int = 0
    use_ids: bool = True

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        encoder = Encoder(
            self.num_ids, self.id_dim, self.side_dim, self.hidden, self.task_dim, self.use_ids, name="encoder"
        )
        rating = nn.Dense(1, name="head")(encoder(x))
        if self.use_ids:
            rating += IdTable(self.num_ids, 1, scale=0.0, name="id_bias")(x.id)
        return self.mean + self.scale * rating[:, 0]


class TasteNet(nn.Module):
    """Inputs -> (features [N, dim], prior mean [N]): the two things a linear model of one task's taste needs.

    A rating is prior mean + features . w + noise with w ~ N(0, I) a task: the scale of the features is the prior.
    Features are a centre that all candidates share, so that w holds the task's own bias too, plus a vector an id plus a
    map of the content. The prior mean is a bias an id plus features . M context: what people of this age, gender, ...
    tend to like beyond the average, before a single rating is known.
    """

    num_ids: int
    mean: float = 0.0
    dim: int = 64

    @nn.compact
    def __call__(self, x: Inputs) -> tuple[Array, Array]:
        small, zeros = nn.initializers.normal(0.01), nn.initializers.zeros
        centre = self.param("centre", lambda key, shape: jnp.zeros(shape).at[0].set(0.5), (self.dim,))
        features = centre + IdTable(self.num_ids, self.dim, name="id_taste")(x.id)
        mean = self.mean + IdTable(self.num_ids, 1, scale=0.0, name="id_bias")(x.id)[:, 0]
        if x.content.shape[-1]:
            features += nn.Dense(self.dim, use_bias=False, kernel_init=small, name="content_taste")(x.content)
            mean += nn.Dense(1, use_bias=False, kernel_init=zeros, name="content_bias")(x.content)[:, 0]
        if x.context.shape[-1]:
            expected = nn.Dense(self.dim, use_bias=False, kernel_init=zeros, name="context_taste")(x.context)
            mean += jnp.sum(features * expected, -1)
        return features, mean
