"""A plain network for regression: inputs [N, D] -> one number a row [N]."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.types import Array


class MLP(nn.Module):
    """ReLU layers of widths `hidden` and a linear layer called "head"; biases start at 0.

    With `task_dim` there is one more input, a vector "task" that is 0 in every row until a learner changes it.

    Weights start small. With the usual scale and inputs as large as 5, the curvature of the loss makes a few inner
    steps at a rate of 0.01 diverge before training has begun. MAML's authors use 0.01, from which training takes
    longer.
    """

    hidden: Sequence[int] = (40, 40)
    task_dim: int = 0
    kernel_init: Callable = nn.initializers.truncated_normal(0.1)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.task_dim:
            task = self.param("task", nn.initializers.zeros, (self.task_dim,))
            x = jnp.concatenate([x, jnp.broadcast_to(task, (x.shape[0], self.task_dim))], -1)
        dense = partial(nn.Dense, kernel_init=self.kernel_init)
        for layer, width in enumerate(self.hidden):
            x = nn.relu(dense(width, name=f"layer_{layer}")(x))
        return dense(1, name="head")(x)[:, 0]
