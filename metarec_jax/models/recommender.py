"""Networks for recommendation tasks: from `Inputs` to features or to a rating. All use side features AND ids.

ID tables (`IdTable`) are called "id_..." in the parameters. An inner loop does not adapt them: each id occurs once in a
task, so a row adapted on the support would not be used for the query. Meta-gradients do train them. Rows start small,
so that an id without training examples acts like the average one.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.types import Array, Inputs


class IdTable(nn.Module):
    """A table of one learnt vector an id: ids [N] -> [N, dim]."""

    size: int
    dim: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        if self.has_variable("params", "table"):  # may be a subset of the rows, with ids that index this subset
            return self.get_variable("params", "table")[ids]
        return self.param("table", nn.initializers.normal(self.scale), (self.size, self.dim))[ids]


class Encoder(nn.Module):
    """Inputs -> [N, hidden[-1]]: id vector, content and context, concatenated, through a network.

    Attributes:
      num_ids: size of the ID table.
      id_dim: length of an id's vector.
      side_dim: length of the linear maps of content and of context.
      hidden: widths of the layers.
      task_dim: length of one more input, a vector "task" that is 0 in every row until a learner changes it.
      use_ids: if False, only the side features are read, or the constant 1 where there are none.
      activation: of every layer.
    """

    num_ids: int
    id_dim: int = 32
    side_dim: int = 32
    hidden: Sequence[int] = (64, 64)
    task_dim: int = 0
    use_ids: bool = True
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        inputs = [IdTable(self.num_ids, self.id_dim, name="id_table")(x.id)] if self.use_ids else []
        if x.content.shape[-1]:
            inputs.append(nn.Dense(self.side_dim, name="content")(x.content))
        # As one row, for layers of [N, ...] alone have an inner loop of low rank.
        of_task = [nn.Dense(self.side_dim, name="context")(x.context[None])[0]] if x.context.shape[-1] else []
        if self.task_dim:
            of_task.append(self.param("task", nn.initializers.zeros, (self.task_dim,)))
        inputs += [jnp.broadcast_to(vector, (len(x.id), len(vector))) for vector in of_task]
        hidden = jnp.concatenate(inputs or [jnp.ones((len(x.id), 1))], -1)
        for layer, width in enumerate(self.hidden):
            hidden = self.activation(nn.Dense(width, name=f"layer_{layer}")(hidden))
        return hidden


class RatingNet(nn.Module):
    """Inputs -> predicted ratings [N]: `Encoder`, a linear head and a bias an id, around `mean`.

    Without `use_ids` there is no bias either.
    """

    num_ids: int
    mean: float = 0.0
    id_dim: int = 32
    side_dim: int = 32
    hidden: Sequence[int] = (64, 64)
    task_dim: int = 0
    use_ids: bool = True
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        parts = (self.id_dim, self.side_dim, self.hidden, self.task_dim, self.use_ids, self.activation)
        encoder = Encoder(self.num_ids, *parts, name="encoder")
        rating = nn.Dense(1, name="head")(encoder(x))
        if self.use_ids:
            rating += IdTable(self.num_ids, 1, scale=0.0, name="id_bias")(x.id)
        return self.mean + rating[:, 0]


class TasteNet(nn.Module):
    """Inputs -> (features [N, dim], prior mean [N] in rating units), for a linear model of one task's ratings.

    A rating is prior mean + features . w + noise with w ~ N(0, I) for each task: the scale of the features is the
    prior. Features are a centre common to all candidates, so that w includes the task's bias, plus a vector an id, plus
    a linear map of the content. The prior mean is a bias an id plus features . M context, which is what owners with
    these side features (age, gender, ...) like beyond the average, before any rating is known.
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
            mean += features @ expected
        return features, mean
