"""Conditional neural process. Garnelo et al. 2018, arXiv:1807.01613.

r_i = h(x_i, y_i), r = mean of the r_i, (mean, variance) of y at x = g(x, r), trained by the negative log likelihood of
the query. Adaptation is one forward pass, without gradients or a solver.

Easily got wrong: the mean must be over the real rows only, and it is undefined without a rating. Here it is
sum r_i / (K + count), with K / (K + count) as one more entry (`models.sets.shrunk_mean`). It is 0 at K = 0, and the
network can trust twenty ratings more than one.

Beyond the paper: y is the residual from a learnt prior mean (the item's, in recommendation), which g corrects. h and g
also read products of their inputs (see `models.sets`).
"""

import flax.linen as nn

from metarec_jax.learners.amortised.base import read_support
from metarec_jax.models.sets import PairEncoder, RatingReader, shrunk_mean
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Learner


class MeanMemory(nn.Module):
    """Keeps the mean of the encoded pairs, [width + 1], which is the same for all candidates."""

    width: int
    count: float
    dropout: float

    def setup(self) -> None:
        self.encoder = PairEncoder(self.width, self.dropout)

    def write(self, features: Array, residual: Array, mask: Array) -> Array:
        return shrunk_mean(self.encoder(features, residual), mask, self.count)

    def recall(self, written: Array, features: Array) -> Array:
        del features
        return written


def cnp(
    net: nn.Module,
    objective: Objective | None = None,
    *,
    width: int = 64,
    count: float = 3.0,
    dropout: float = 0.0,
) -> Learner:
    """The conditional neural process. Predictions are means [N]; variances [N] include the noise.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: None for the paper's Gaussian negative log likelihood; otherwise a masked loss of the means, and the
        learner has no variance.
      width: of the hidden layers and of r.
      count: pseudo-ratings at r = 0 in the mean.
      dropout: fraction of the hidden units that are dropped in training.
    """
    return read_support(RatingReader(net, MeanMemory(width, count, dropout), width, dropout), objective)
