"""Attentive neural process. Kim et al. 2019, arXiv:1901.05761; the deterministic path only.

Beside the mean r of the conditional neural process, every candidate x gets its own summary of the support,
r(x) = MultiHead(query = q(x), keys = q(x_i), values = h(x_i, y_i)) (section 3 and figure 2 of the paper). A mean over
all ratings underfits: the ratings of items similar to x should count most.

Easily got wrong:
- Keys must not depend on the ratings. The query has none, so it could not be compared with them.
- Padding must be masked out of the softmax. Without a rating the softmax has nothing to sum over, hence the empty slot
  of `models.sets.Attention`.

Differs from the paper: the mean takes the place of the latent z, which the paper draws given the same pairs, so that
predictions are deterministic (`tanp` is a neural process with a latent z). There is no self-attention between the pairs
(`set_transformer` has it).
"""

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.learners.amortised.base import read_support
from metarec_jax.models.sets import Attention, PairEncoder, RatingReader, shrunk_mean
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Fast, Learner


class AttentiveMemory(nn.Module):
    """Keeps the mean of the encoded pairs and the pairs themselves; a candidate attends to the pairs."""

    width: int
    heads: int
    count: float
    dropout: float

    def setup(self) -> None:
        self.encoder = PairEncoder(self.width, self.dropout)
        self.attention = Attention(self.heads, self.width // self.heads)

    def write(self, features: Array, residual: Array, mask: Array) -> Fast:
        encoded = self.encoder(features, residual)
        return {"mean": shrunk_mean(encoded, mask, self.count), "keys": features, "values": encoded, "mask": mask}

    def recall(self, written: Fast, features: Array) -> Array:
        attended = self.attention(features, written["keys"], written["values"], written["mask"])
        mean = jnp.broadcast_to(written["mean"], (len(attended), self.width + 1))
        return jnp.concatenate([attended, mean], -1)


def anp(
    net: nn.Module,
    objective: Objective | None = None,
    *,
    width: int = 64,
    heads: int = 4,
    count: float = 3.0,
    dropout: float = 0.0,
) -> Learner:
    """The attentive neural process. Arguments as in `cnp` (see there), and

    Args:
      heads: number of heads of the cross-attention; each has width // heads units.
    """
    memory = AttentiveMemory(width, heads, count, dropout)
    return read_support(RatingReader(net, memory, width, dropout), objective)
