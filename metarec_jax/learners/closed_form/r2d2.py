"""Ridge regression as a classifier's head (R2-D2). Bertinetto, Henriques, Torr and Vedaldi 2019, arXiv:1805.08136.

The support's labels as one-hot rows Y [K, ways] are regressed on the embeddings X [K, D] in closed form,
    W = X' (X X' + lam I)^-1 Y    (eqs. 4 and 6, the Woodbury identity: a K x K system, or D x D where that is smaller),
and X_query W, times a learnt scale, are logits (eq. 9). For ratings see `ridge`, which has the whole posterior.

Easily got wrong: the regression targets are 0 and 1, and logits that small are nearly uniform probabilities; without
the learnt scale the cross-entropy cannot fall. The paper also learns a number that is added to every logit. A softmax
does not depend on it, so there is none here. lam must stay positive: its logarithm is learnt.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.objectives import Objective
from metarec_jax.ops.linear import ridge_weights
from metarec_jax.types import Array, Examples, Fast, Learner, Params


def r2d2(
    net: nn.Module, objective: Objective, *, ways: int, lam: float = 50.0, scale: float = 10.0, turns: bool = False
) -> Learner:
    """R2-D2. Outputs are logits [N, ways]; y are classes 0..ways-1. A class without support gets logit 0.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: `objectives.cross_entropy` in the paper.
      ways: number of classes.
      lam: initial penalty, in squared units of the embeddings; learnt.
      scale: initial scale of the logits; learnt.
      turns: in training the examples of a class take turns as its support (see `embedding.on_embeddings`).
    """

    def init(key: Array, embedded: Array) -> Params:
        return {"log_lam": jnp.log(jnp.float32(lam)), "log_scale": jnp.log(jnp.float32(scale))}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        wanted = jax.nn.one_hot(support.y, ways, dtype=embedded.dtype)
        penalty = jnp.exp(params["log_lam"])
        weights = jax.vmap(lambda target: ridge_weights(embedded, target, support.mask, penalty), 1, 1)(wanted)
        return {"weights": weights}

    def predict(fast: Fast, embedded: Array) -> Array:
        return jnp.exp(fast["log_scale"]) * embedded @ fast["weights"]

    return on_embeddings(net, Head(init, adapt, predict), objective, ways if turns else None)
