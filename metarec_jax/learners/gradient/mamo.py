"""Memory-augmented meta-optimisation. Dong, Yuan, Yao, Xu and Zhu 2020, arXiv:2007.03183.

A user's profile p, the side features, is compared with the keys M_P of a memory of user types,
a = softmax(cosine(p, M_P) / temperature),
and the attention a mixes what the memories hold for each type into the user's own initial weights:
- The feature-specific memory M_U biases the initial weights of the user's embedding, theta_u = phi_u + a . M_U.
- The task-specific memory M_UI gives the matrix that mixes the user's embedding with the item's, a . M_UI. Here it is
  the kernel of the first hidden layer, which reads both side by side. It is adapted with the other weights.
- Inner rates are lr exp(r_0 + a . R): a memory like M_U, for the size of the inner steps.
In `feature_conditioned`, M_P are the keys of the code, and M_U and M_UI the offsets of the bank.

Easily got wrong: cosines of a profile with random keys are all small. Without a temperature (learnt here) the attention
is nearly uniform, and all users are of one type.

Differs from the paper: there M_U holds fast gradients and M_P profiles, which are overwritten by hand after each user
(M_U <- beta a (x) gradient + (1 - beta) M_U, likewise M_P and M_UI), and the bias is -tau a . M_U. Here memories are
parameters. The update of slot s is a_s times the exact meta-gradient, second order included, of a loss that is averaged
over the tasks of a step. The published code accumulates no loss: it sums first-order gradients of the shared weights,
overwrites the memories user by user outside any objective, and draws a linear layer inside the attention anew at every
reading. The memory of rates is not in the paper. Shared weights remain under the mixing matrix; as the attention sums
to 1 they change only the start, which is MAML's.
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
    """A profile [G] -> its attention to learnt keys, [slots], which sums to 1; uniform for a profile of zeros."""

    slots: int
    temperature: float = 0.2  # initial temperature of the cosines; learnt

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
      lr: initial value of all inner rates.
      slots: number of user types in the memory.
      remembered: which parameters start from values of the memory, by path. By default the user's embedding and the
        layer that mixes it with the item's.
      **inner: steps, prior_count and shared, as in `maml`.
    """
    return feature_conditioned(net, objective, ProfileAttention(slots), personal=remembered, lr=lr, **inner)
