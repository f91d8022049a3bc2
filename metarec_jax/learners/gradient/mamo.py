"""Memory-augmented meta-optimisation. Dong, Yuan, Yao, Xu and Zhu 2020, arXiv:2007.03183.

A user's profile p, the side features, is compared with the keys M_P of a memory of user types,
a = softmax(cosine(p, M_P) / temperature),
and what the memory holds for each type is mixed by that attention a into the user's own start:
- the feature-specific memory M_U biases the initial weights of the user's embedding, theta_u = phi_u + a . M_U;
- the task-specific memory M_UI gives the matrix that mixes the user's embedding with the item's, a . M_UI: here the
  kernel of the first hidden layer, which reads them side by side. It is adapted with the other weights;
- inner rates are lr exp(r_0 + a . R): a memory of the kind that M_U is, for how far gradients should go.
See `conditioned`: M_P are the keys of its code, M_U and M_UI the offsets of its bank.

Easily got wrong: cosines of a profile with random keys are all small, and without a temperature (learnt here) the
attention is nearly uniform, so that all users are of one type.

Differs from the paper: there M_U holds fast gradients and M_P profiles, overwritten by hand after each user
(M_U <- beta a (x) gradient + (1 - beta) M_U, likewise M_P and M_UI), and the bias is -tau a . M_U. Here memories are
parameters. What is written into slot s is a_s times the exact meta-gradient, second order included, of a loss that is
averaged over the tasks of a step. In the published code no loss is ever accumulated: first-order gradients of the
shared weights are summed, the memories are overwritten user by user outside any objective, and a linear layer inside
the attention is drawn anew at every reading. The memory of rates is not in the paper. Shared weights stay under the
mixing matrix: as the attention sums to 1 they change nothing but the start, which is MAML's.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.gradient.feature_conditioned import feature_conditioned
from metarec_jax.learners.metric.protonet import distances
from metarec_jax.objectives import Objective
from metarec_jax.params import Path, named
from metarec_jax.types import Array, Learner

is_remembered = named("context", "layer_0")


class ProfileAttention(nn.Module):
    """A profile [G] -> its attention to `slots` learnt keys [slots], which sums to 1; uniform for a profile of 0."""

    slots: int
    temperature: float = 0.2  # where the learnt temperature of the cosines starts

    @nn.compact
    def __call__(self, profile: Array) -> Array:
        keys = self.param("keys", nn.initializers.normal(1.0), (self.slots, profile.shape[-1]))
        log_temperature = self.param("log_temperature", nn.initializers.constant(math.log(self.temperature)), ())
        return jax.nn.softmax(-distances(profile[None], keys, "cosine")[0] * jnp.exp(-log_temperature))


def mamo(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    slots: int = 8,
    remembered: Callable[[Path], bool] = is_remembered,
    **inner: Any,
) -> Learner:
    """MAMO.

    Args:
      net: Flax module from `Inputs` of N rows to outputs [N, ...], for example `RatingNet`.
      objective: masked loss of both loops.
      lr: where all inner rates start.
      slots: user types in the memory.
      remembered: which parameters start from values out of the memory, by path. By default the user's embedding and
        the layer that mixes it with the item's.
      **inner: steps, prior_count and shared, as in `maml`.
    """
    return feature_conditioned(net, objective, ProfileAttention(slots), personal=remembered, lr=lr, **inner)
