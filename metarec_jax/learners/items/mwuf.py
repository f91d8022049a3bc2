"""Meta warm-up framework (MWUF). Zhu et al. 2021, "Learning to Warm Up Cold Item Embeddings for Cold-start
Recommendation with Meta Scaling and Shifting Networks", arXiv:2105.04790.

A cold embedding starts from the embedding common to all items and has taken gradient steps on the item's few ratings.
Two networks warm it up. One scales it by the item's side features, the other shifts it by the item's raters:
    warm = scaling(side features) * cold + shifting(mean vector of the raters).
They are trained on the error of the warm embedding on further ratings.

Easily got wrong: the raters are those of the SUPPORT. The mean over all raters that the data set has of the item would
reveal who is about to rate. The shift depends on WHO rated, not on the ratings, which enter by the gradient steps
alone.

Differs from the paper: the steps are part of the episode, and differentiated; there the cold embedding of a training
item is a parameter with its own loss. The mean of the raters is shrunk to 0 and their number is one more entry, so that
K = 0 works.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.items.item_embedding import Embedder, Keys, embedding_learner, gradient_steps
from metarec_jax.models.generator import Generator
from metarec_jax.models.sets import shrunk_mean, small
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Examples, Learner, Params


def mwuf(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 1,
    prior_count: float = 0.0,
    raters_count: float = 3.0,
    hidden: Sequence[int] = (32,),
    dropout: float = 0.0,
) -> Learner:
    """MWUF; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of both loops, a function of errors only, for example `objectives.squared_error`.
      lr: rate of the gradient steps that make the cold embedding.
      steps: number of these steps.
      prior_count: as in `maml`: the inner loss is the sum over the support divided by n + prior_count.
      raters_count: pseudo-raters at 0 in the mean of the raters.
      hidden: widths of the hidden layers of both networks.
      dropout: fraction of their hidden units that are dropped in training.
    """

    def init(key: Array, context: Array, dim: int) -> Params:
        keys = jax.random.split(key, 3)
        network = Generator(dim, hidden, dropout)
        return {
            "common": small(keys[0], (dim,)),  # not 0: at K = 0 there would be nothing to scale
            "scaling": network.init(keys[1], context)["params"],
            "shifting": network.init(keys[2], jnp.zeros(dim + 1))["params"],
        }

    def embed(params: Params, support: Examples, context: Array, keys: Keys) -> Array:
        cold = gradient_steps(objective, support, params["common"], lr=lr, steps=steps, prior_count=prior_count)
        raters = shrunk_mean(support.x, support.mask, raters_count)
        network = Generator(len(params["common"]), hidden, dropout)
        scale = 1.0 + network.apply({"params": params["scaling"]}, context, rngs=keys)
        return scale * cold + network.apply({"params": params["shifting"]}, raters, rngs=keys)

    return embedding_learner(net, objective, Embedder(init, embed))
