"""A term of a prediction from content-based neighbours: the candidate's training ratings of owners similar to a new
one.

With items as tasks an owner is an item and a candidate is a user: "she rated the other books of this author half a star
higher than expected". A few weights a user cannot express that, which is why content-based kNN
(`baselines.content_knn`) is strong where authors are known. The neighbours contribute RESIDUALS from a prediction
without ratings, so that nothing is counted twice.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.types import Array, Inputs

SAME = 1.0 - 1e-4  # from this cosine on two owners have the same side features


class History(NamedTuple):
    """The training ratings, by candidate."""

    features: Array  # [U, G] side features of the training owners, divided by `scale`, then of length 1
    scale: Array  # [G]
    left: Array  # [C, U] residual: rating less its prediction without ratings; 0 where there is no rating
    rated: Array  # [C, U] bool


class HistoryTerm(nn.Module):
    """(history, x of [N, ...], whether to leave out owners with the same side features) -> [N].

    term(c) = gain sum_j w_j left_cj / (sum_j w_j rated_cj + damping) over the `neighbours` owners j most similar to x's
    owner, with w_j = max(cosine, 0)^power. Gain, damping and power are learnt.

    Attributes:
      neighbours: number of owners j.
      gain, damping, power: initial values.
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
        owner = x.context / history.scale
        cosine = history.features @ (owner / jnp.maximum(jnp.linalg.norm(owner), 1e-9))
        if leave_out:
            cosine = jnp.where(cosine < SAME, cosine, 0.0)
        nearest, index = jax.lax.top_k(cosine, min(self.neighbours, len(cosine)))
        near = nearest > 0.0
        weight = jnp.where(near, jnp.where(near, nearest, 1.0) ** power, 0.0)  # no gradient through the log of 0
        cells = x.id[:, None], index[None]
        return gain * (history.left[cells] @ weight) / (history.rated[cells] @ weight + damping)
