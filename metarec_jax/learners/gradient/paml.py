"""Initial weights and inner rates for the likes of a user: two papers that are both called PAML.

Personalized Adaptive Meta Learning (Yu et al. 2021, arXiv:2012.11842): one inner rate for all fits the users of whom
there are many, so the rate is made a function of the user's features. Preference-Adaptive Meta-Learning (Wang et al.
2021, IJCAI): what users share is shared among those of similar preference, so an adapter turns the common initial
weights into those of the user's kind. Here both, from the user's features:
c = tanh(W context + b) / S, theta(c) = theta + sum_s c_s B_s and rate(c) = lr exp(r . (1, c)); see `conditioned`.

Easily got wrong: rates must stay positive, and the conditioning must start as none at all; here B = r = 0 is MAML
exactly. The outer optimiser moves all slots of B at once, so a code of S large entries makes it move theta(c) S times
as fast as theta, and a thousand users are soon learnt by heart: hence the division by S. A user without features
(context of width 0) has the code 0: that is MAML with one learnt rate an array.

Differs from the papers: neither the first's search for similar users nor the second's social relations and implicit
friends, for the data have none: similar are users with similar features. The offsets are a low-rank map of a code
instead of Wang et al.'s gates, and by default only the head has any.
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
    """A context [G] as a code [dim] between -1 / dim and 1 / dim; 0 if there are no features (G = 0)."""

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
      lr: where all inner rates start.
      code_dim: size S of the code.
      personal: which parameters start from values of the user's own, by path: the head, or
        `lambda path: not melu.is_embedding(path)` for all decision layers.
      **inner: steps, prior_count and shared, as in `maml`.
    """
    return feature_conditioned(net, objective, ContextCode(code_dim), personal=personal, lr=lr, **inner)
