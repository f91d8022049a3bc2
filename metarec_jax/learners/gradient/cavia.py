"""Fast context adaptation via meta-learning. Zintgraf, Shiarlis, Kurin, Hofmann and Whiteson 2019, arXiv:1810.03642.

The network has an input phi beside x, the task's context. The inner loop moves only phi, from 0 (eqs. 3 and 4):
phi = -alpha grad_phi L_support(phi, theta) at phi = 0. The outer loop trains everything else on L_query(phi, theta).

Easily got wrong:
- phi starts at 0 in EVERY task; it is not learnt. A learnt start would add nothing, because the first layer reads phi
  through W phi + b, and b is learnt. Whatever `params` hold for the context is replaced by 0, and its meta-gradient
  is 0.
- The weights W behind phi must not start at 0: at W = 0 and phi = 0 the gradient of phi is 0.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.params import named, split_free
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def cavia(net: nn.Module, objective: Objective, *, lr: float, context: str = "task", **inner: Any) -> Learner:
    """CAVIA.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...] with a parameter that is the task's context [C], for
        example `RatingNet(..., task_dim=C)`.
      objective: masked loss of both loops.
      lr: inner learning rate. 1 in the paper: larger than MAML's, because few numbers are moved.
      context: name of that parameter.
      **inner: other keywords of `maml`: steps, first_order, prior_count, optimiser, checkpoint.

    Raises (from init):
      ValueError: the network has no such parameter.
    """
    is_context = named(context)
    from_zero = maml(net, objective, lr=lr, shared=lambda path: not is_context(path), **inner)

    def init(key: Array, episode: Episode) -> Params:
        params = from_zero.init(key, episode)
        if not split_free(params, is_context).fixed:
            raise ValueError(f"CAVIA needs a network with a parameter {context!r}, as RatingNet with task_dim has.")
        return params

    def adapt(params: Params, support: Examples) -> Fast:
        parts = split_free(params, lambda path: not is_context(path))
        return from_zero.adapt(parts.join(jax.tree.map(jnp.zeros_like, parts.free)), support)

    return Learner(init, adapt, from_zero.predict, query_loss(adapt, from_zero.predict, objective))
