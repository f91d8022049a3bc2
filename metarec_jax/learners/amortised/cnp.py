"""Conditional neural process. Garnelo et al. 2018, arXiv:1807.01613.

r_i = h(x_i, y_i), r = mean of the r_i, (mean, variance) of y at x = g(x, r), trained by the negative log
likelihood of the query. Adaptation is one forward pass: no gradient, no solve.

Easily got wrong: the mean must be over the real rows only, and is undefined without a rating. Here it is
sum r_i / (K + count) with K / (K + count) beside it (`models.sets.shrunk_mean`), which is 0 at K = 0 and lets the
network trust twenty ratings more than one.

Beyond the paper: y is the residual from a learnt prior mean (that of the item, in recommendation), and g corrects that
mean; h and g also see products, see `models.sets`.
"""

import flax.linen as nn

from metarec_jax.learners.amortised.base import read_support
from metarec_jax.models.sets import PairEncoder, RatingReader, shrunk_mean
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Learner


class MeanMemory(nn.Module):
    """Remembers the mean of the encoded pairs, [width + 1], for all candidates alike."""

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
    scale: float = 1.0,
    width: int = 64,
    count: float = 3.0,
    dropout: float = 0.0,
) -> Learner:
    """The conditional neural process; predictions are means [N], variances [N] hold the noise.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: None for the paper's Gaussian negative log likelihood; otherwise a masked loss of the means, without
        variances then.
      scale: rating units in one unit of the network, for example the standard deviation of the ratings.
      width: of the hidden layers and of r.
      count: pseudo-ratings of r = 0 in the mean.
      dropout: share of hidden units dropped in training.
    """
    return read_support(RatingReader(net, MeanMemory(width, count, dropout), scale, width, dropout), objective)
