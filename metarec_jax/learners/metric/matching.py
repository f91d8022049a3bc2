"""Matching Networks. Vinyals et al. 2016, arXiv:1606.04080.

A non-parametric learner: the prediction for x is an average of the support's labels (eq. 1),
    y(x) = sum_i a(x, x_i) y_i,    a(x, x_i) = softmax over i of c(f(x), f(x_i)),    c the cosine similarity.
`matching` is the classifier of the paper. `matching_ratings` averages residuals of the task's own ratings.

Easily got wrong: the full-context embeddings of section 2.1.2, LSTMs over the support, are an option of the paper and
not part of the method. They are not implemented: the result would depend on the order of the support. The loss is the
log of the summed probability, without a second softmax.

Differs from the paper: f and g are one network, and the cosine is divided by a learnt temperature (1 at first, as in
the paper). Cosines lie within -1..1, so a softmax of plain cosines can never put most of its weight on one of twenty.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.objectives import Objective, masked_mean, query_loss
from metarec_jax.ops.similarity import attend_or_none, unit
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params

NEVER = -1e9  # a logit whose probability is 0; finite, so that its gradient is not NaN


def similarity(fast: Fast, embedded: Array) -> Array:
    """Logits [N, K] of the attention of points [N, D] to the support; padding gets `NEVER`."""
    cosine = unit(embedded) @ unit(fast["embedded"]).T
    return jnp.where(fast["mask"] > 0, cosine * jnp.exp(-fast["log_temperature"]), NEVER)


def matching(net: nn.Module, objective: Objective, *, ways: int, turns: bool = False) -> Learner:
    """The classifier of the paper. Outputs are log-probabilities [N, ways]; y are classes 0..ways-1.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: `objectives.cross_entropy` in the paper. (Its softmax changes nothing: probabilities sum to 1.)
      ways: number of classes. A class without support gets probability 0, so an episode may have fewer. Without any
        support all classes have the same probability.
      turns: in training the examples of a class take turns as its support (see `embedding.on_embeddings`).
    """

    def init(key: Array, embedded: Array) -> Params:
        return {"log_temperature": jnp.zeros(())}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        return {"embedded": embedded, "mask": support.mask, "y": support.y}

    def predict(fast: Fast, embedded: Array) -> Array:
        logits = similarity(fast, embedded)  # [N, K]
        in_class = (fast["y"] == jnp.arange(ways)[:, None]) & (fast["mask"] > 0)  # [ways, K]
        own = jnp.where(in_class, logits[:, None, :], NEVER)  # and one empty entry: K may be 0
        own = jnp.pad(own, ((0, 0), (0, 0), (0, 1)), constant_values=NEVER)
        return jax.nn.log_softmax(jax.nn.logsumexp(own, -1), -1)  # the attention sums to 1 over the classes

    return on_embeddings(net, Head(init, adapt, predict), objective, ways if turns else None)


def matching_ratings(
    net: nn.Module,
    objective: Objective,
    *,
    temperature: float = 0.5,
    null_count: float = 300.0,
    bias_count: float = 10.0,
) -> Learner:
    """Attention over the residuals of the task's own ratings; outputs are ratings [N].

    With residuals r_i = y_i - m(x_i) from the prior mean m and the task's shrunk bias b = sum_i r_i / (K + kappa),
        y(x) = m(x) + b + sum_i a(x, x_i) (r_i - b).
    The softmax has one more entry, a learnt logit of "no rating is similar to x", which reduces the attention to the
    ratings. So the prediction is the prior mean at K = 0, and nearly m + b for few or dissimilar ratings.

    Args:
      net: Flax module from x of [N, ...] to (embeddings [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      temperature: initial divisor of the cosine; learnt.
      null_count: initial weight of the additional entry, as a number of ratings of cosine 0; learnt.
      bias_count: initial kappa; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        return {
            "net": net.init(key, episode.support.x)["params"],
            "log_temperature": jnp.log(jnp.float32(temperature)),
            "null": jnp.log(jnp.float32(null_count)),
            "log_bias_count": jnp.log(jnp.float32(bias_count)),
        }

    def adapt(params: Params, support: Examples) -> Fast:
        embedded, mean = net.apply({"params": params["net"]}, support.x)
        residual = support.y - mean
        bias = masked_mean(residual, support.mask, jnp.exp(params["log_bias_count"]))
        return params | {"embedded": embedded, "mask": support.mask, "bias": bias, "above_bias": residual - bias}

    def predict(fast: Fast, x) -> Array:
        embedded, mean = net.apply({"params": fast["net"]}, x)
        attention = attend_or_none(similarity(fast, embedded), fast["mask"], fast["null"])
        return mean + fast["bias"] + attention @ fast["above_bias"]

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
