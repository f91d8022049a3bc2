"""Initial weights and inner rates that depend on the user's features: two papers that are both called PAML.

Personalized Adaptive Meta Learning (Yu et al. 2021, arXiv:2012.11842): one inner rate for all users fits the majority,
so the rate becomes a function of the user's features. Preference-Adaptive Meta-Learning (Wang et al. 2021, IJCAI):
users of similar preference have more in common than all users, so an adapter turns the common initial weights into
those of the user's kind. This learner does both, from the user's features:
c = tanh(W context + b) / S, theta(c) = theta + sum_s c_s B_s and rate(c) = lr exp(r . (1, c)) (see
`feature_conditioned`).

Easily got wrong: rates must stay positive, and there must be no conditioning at the start; here B = r = 0 is MAML
exactly. The outer optimiser moves all slots of B at once. With S large entries of the code theta(c) would move S times
as fast as theta and overfit a thousand users soon: hence the division by S. A user without features (a context of width
0) has the code 0: that is MAML with one learnt rate for each array.

Differs from the papers: there is neither the first one's search for similar users nor the second one's social relations
and implicit friends, which the data sets do not have; similar users are those with similar features. The offsets are a
low-rank map of a code instead of Wang et al.'s gates, and by default only the head has offsets.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.learners.gradient.feature_conditioned import feature_conditioned
from metarec_jax.objectives import Objective
from metarec_jax.params import Path, named
from metarec_jax.types import Array, Learner

is_head = named("head")


class ContextCode(nn.Module):
    """A context [G] -> a code [dim] between -1 / dim and 1 / dim; 0 if there are no features (G = 0)."""

    dim: int

    @nn.compact
    def __call__(self, context: Array) -> Array:
        if context.shape[-1] == 0:
            return jnp.zeros(self.dim, context.dtype)
        return nn.tanh(nn.Dense(self.dim)(context)) / self.dim


def paml(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    code_dim: int = 8,
    personal: Callable[[Path], bool] = is_head,
    **inner: Any,
) -> Learner:
    """PAML.

    Args:
      net: Flax module from `Inputs` of N rows to outputs [N, ...], for example `RatingNet`.
      objective: masked loss of both loops.
      lr: initial value of all inner rates.
      code_dim: size S of the code.
      personal: which parameters start from values of the user's own, by path: the head, or
        `lambda path: not melu.is_embedding(path)` for all decision layers.
      **inner: steps, prior_count and shared, as in `maml`.
    """
    return feature_conditioned(net, objective, ContextCode(code_dim), personal=personal, lr=lr, **inner)
