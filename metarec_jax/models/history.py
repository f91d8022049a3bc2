"""What candidates gave to owners that look like a new one: content-based neighbours as a term of a prediction.

With items as tasks an owner is an item and a candidate is a user: "she gave the other books of this author half a star
more than was expected". Few weights a user cannot say that, which is why content-based kNN (`baselines.content_knn`)
is strong where makers are known. Here the neighbours speak of what is LEFT of their ratings by a prediction without
any, so that nothing is counted twice.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.types import Array, Inputs

SAME = 1.0 - 1e-4  # from this cosine on two owners have the same side features


class History(NamedTuple):
    """The training ratings, by candidate."""

    features: Array  # [U, G] of the training owners, divided by `scale`, each of length 1
    scale: Array  # [G]
    left: Array  # [C, U] rating less what was expected without ratings; 0 where there is none
    rated: Array  # [C, U] bool


class HistoryTerm(nn.Module):
    """(history, x of [N, ...], whether to leave out those who look the same) -> [N].

    term(c) = gain sum_j w_j left_cj / (sum_j w_j rated_cj + damping) over the `neighbours` owners j most like x's, with
    w_j = max(cosine, 0)^power; gain, damping and power are learnt.
    """

    neighbours: int = 100
    gain: float = 0.6
    damping: float = 0.5
    power: float = 2.0

    @nn.compact
    def __call__(self, history: History, x: Inputs, leave_out: bool) -> Array:
        gain = self.param("gain", lambda key: jnp.float32(self.gain))
        damping = jnp.exp(self.param("log_damping", lambda key: jnp.log(jnp.float32(self.damping))))
        power = jnp.exp(self.param("log_power", lambda key: jnp.log(jnp.float32(self.power))))
        if not len(x.id):
            return jnp.zeros(0)  # the support at K = 0
        own = x.context[0] / history.scale  # the owner's, the same in every row
        cosine = history.features @ (own / jnp.maximum(jnp.linalg.norm(own), 1e-9))
        if leave_out:
            cosine = jnp.where(cosine < SAME, cosine, 0.0)
        nearest, index = jax.lax.top_k(cosine, min(self.neighbours, len(cosine)))
        near = nearest > 0.0
        weight = jnp.where(near, jnp.where(near, nearest, 1.0) ** power, 0.0)  # no gradient through the log of 0
        at = x.id[:, None], index[None]
        return gain * (history.left[at] @ weight) / (history.rated[at] @ weight + damping)
