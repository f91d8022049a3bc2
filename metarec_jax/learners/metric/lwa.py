"""Linear weight adaptation (LWA). Vartak et al. 2017, "A Meta-Learning Perspective on Cold-Start Recommendations for
Items", section 4.1.

The support becomes two vectors, the mean features of its negatives R0 and of its positives R1. The task's linear
classifier has weights w0 R0 + w1 R1 with learnt numbers w0, w1 and a constant bias b:
    P(engages | x) = sigmoid(b + F(x) . (w0 R0 + w1 R1)).

Easily got wrong: some implementations apply a softmax to the score before a loss that takes logits. Here nothing comes
between score and rating.

Differs from the paper: a task is a user and not an item, and y are ratings. So
- a rating is liked to a degree, which depends on how far it is above the prior mean and the user's own bias
  (`prototypes`);
- the class means are shrunk to 0, so that one rating counts less than twenty, and K = 0 works;
- the output is prior mean + bias of the user + score, with the score in rating units instead of its sigmoid.
`nlba.py` is the paper's second architecture.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.objectives import Objective, masked_mean, query_loss
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


class Prototypes(NamedTuple):
    """The summary of a support in LWA and NLBA."""

    bias: Array  # [] the user's own, in rating units
    disliked: Array  # [D] R0
    liked: Array  # [D] R1


def prototype_params(prior_count: float) -> Params:
    """The learnt numbers of `prototypes`; both pseudo-counts start at `prior_count`."""
    log_count = jnp.log(jnp.float32(prior_count))
    return {"log_bias_count": log_count, "log_count": log_count, "threshold": jnp.zeros(()), "log_width": jnp.zeros(())}


def prototypes(params: Params, features: Array, residual: Array, mask: Array) -> Prototypes:
    """The user's bias and the mean features of the disliked and of the liked support.

    The degree of liking is sigmoid((residual - bias - threshold) / width); the degree of disliking is 1 minus that.

    Args:
      params: with the entries of `prototype_params`.
      features: [K, D].
      residual: [K] ratings less the prior mean.
      mask: [K] 1 real, 0 padding.
    """
    bias = masked_mean(residual, mask, jnp.exp(params["log_bias_count"]))
    liking = jax.nn.sigmoid((residual - bias - params["threshold"]) * jnp.exp(-params["log_width"]))

    def shrunk_mean(degree: Array) -> Array:
        return degree @ features / (jnp.exp(params["log_count"]) + jnp.sum(degree))

    return Prototypes(bias, shrunk_mean((1.0 - liking) * mask), shrunk_mean(liking * mask))


def lwa(net: nn.Module, objective: Objective, *, prior_count: float = 5.0) -> Learner:
    """Linear weight adaptation for ratings; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      prior_count: initial pseudo-counts of the user's bias and of both class means; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        return {
            "net": net.init(key, episode.support.x)["params"],
            "constant": jnp.zeros(()),
            "of_disliked": -jnp.ones(()),
            "of_liked": jnp.ones(()),
            **prototype_params(prior_count),
        }

    def adapt(params: Params, support: Examples) -> Fast:
        features, mean = net.apply({"params": params["net"]}, support.x)
        classes = prototypes(params, features, support.y - mean, support.mask)
        return {
            "net": params["net"],
            "bias": params["constant"] + classes.bias,
            "weights": params["of_disliked"] * classes.disliked + params["of_liked"] * classes.liked,
        }

    def predict(fast: Fast, x) -> Array:
        features, mean = net.apply({"params": fast["net"]}, x)
        return mean + fast["bias"] + features @ fast["weights"]

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
