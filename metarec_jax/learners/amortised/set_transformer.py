"""Set transformer over a user's ratings. Lee et al. 2019, arXiv:1810.00825, as a meta-learner.

The encoder is a stack of SAB(X) = MAB(X, X) with H = LayerNorm(X + MultiHead(X, Y, Y)) and
MAB(X, Y) = LayerNorm(H + rFF(H)) (eqs. 6 to 8 of the paper), one token for each rated item. The paper then pools by
learnt seed vectors. Here the seed is the candidate, MAB(candidate, encoded set), so that pooling is attention from the
candidate to the ratings.

Easily got wrong:
- There are no positional encodings; with them the order of the support would matter.
- Padding is masked as a key in every block, because its rows are computed like any others.
- Dropout is off in `adapt` and `predict`.

Differs from the paper: blocks are plain, not induced (ISAB), which saves time only where sets are much larger than
their inducing points. Attention has an empty slot beside the set (`models.sets.Attention`), so that K = 0 works and one
rating weighs less than twenty.
"""

import flax.linen as nn

from metarec_jax.learners.amortised.base import read_support
from metarec_jax.models.sets import Attention, Layers, PairEncoder, RatingReader
from metarec_jax.objectives import Objective, squared_error
from metarec_jax.types import Array, Fast, Learner


class AttentionBlock(nn.Module):
    """MAB: (X [N, width], Y [K, width], mask [K]) -> [N, width]; X attends to Y."""

    width: int
    heads: int
    dropout: float

    @nn.compact
    def __call__(self, rows: Array, others: Array, mask: Array) -> Array:
        attended = Attention(self.heads, self.width // self.heads, name="attention")(rows, others, others, mask)
        rows = nn.LayerNorm(name="norm_attention")(rows + nn.Dense(self.width, name="join")(attended))
        forward = nn.Dense(self.width, name="forward")(Layers((self.width,), self.dropout, name="layers")(rows))
        return nn.LayerNorm(name="norm_forward")(rows + forward)


class TransformerMemory(nn.Module):
    """Keeps the encoded set; a candidate attends to it."""

    width: int
    heads: int
    blocks: int
    dropout: float

    def setup(self) -> None:
        self.encoder = PairEncoder(self.width, self.dropout)
        self.candidate = nn.Dense(self.width)
        self.self_attention = [AttentionBlock(self.width, self.heads, self.dropout) for _ in range(self.blocks)]
        self.cross_attention = AttentionBlock(self.width, self.heads, self.dropout)

    def write(self, features: Array, residual: Array, mask: Array) -> Fast:
        tokens = self.encoder(features, residual)
        for block in self.self_attention:
            tokens = block(tokens, tokens, mask)
        return {"tokens": tokens, "mask": mask}

    def recall(self, written: Fast, features: Array) -> Array:
        return self.cross_attention(self.candidate(features), written["tokens"], written["mask"])


def set_transformer(
    net: nn.Module,
    objective: Objective | None = squared_error,
    *,
    width: int = 32,
    heads: int = 4,
    blocks: int = 2,
    dropout: float = 0.0,
) -> Learner:
    """A set transformer that predicts the prior mean plus a correction; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of the predicted ratings; None for the Gaussian negative log likelihood, with variances.
      width: of tokens and hidden layers.
      heads: number of heads of every attention; each has width // heads units.
      blocks: number of self-attention blocks.
      dropout: fraction of the hidden units that are dropped in training.
    """
    memory = TransformerMemory(width, heads, blocks, dropout)
    return read_support(RatingReader(net, memory, width, dropout), objective)
