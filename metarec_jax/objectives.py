"""Masked losses of one task: (outputs, examples) -> (scalar, metrics). Padding does not count; no example gives 0."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from metarec_jax.types import Array, Episode, Examples, Metrics, Params

Objective = Callable[..., tuple[Array, Metrics]]  # (outputs, examples, extra_count=0) -> (scalar, metrics)


def masked_mean(values: Array, mask: Array, extra_count: float = 0.0) -> Array:
    """Sum of the real `values` [N] over their number plus `extra_count`; 0 where there is none."""
    return jnp.sum(values * mask) / jnp.maximum(jnp.sum(mask) + extra_count, 1e-6)


def squared_error(outputs: Array, examples: Examples, extra_count: float = 0.0) -> tuple[Array, Metrics]:
    """Mean squared error of outputs [N], in squared units of y.

    `extra_count` is added to the number of examples in the denominator: a support of n examples then weighs
    n / (n + extra_count), so that a single rating does not move a learner as far as twenty do.
    """
    loss = masked_mean(jnp.square(outputs - examples.y), examples.mask, extra_count)
    return loss, {"loss": loss}


def cross_entropy(outputs: Array, examples: Examples, extra_count: float = 0.0) -> tuple[Array, Metrics]:
    """Mean cross-entropy in nats of logits [N, C] against integer classes y [N]; `extra_count` as above."""
    loss = masked_mean(
        optax.losses.softmax_cross_entropy_with_integer_labels(outputs, examples.y), examples.mask, extra_count
    )
    accuracy = masked_mean((outputs.argmax(-1) == examples.y).astype(outputs.dtype), examples.mask)
    return loss, {"loss": loss, "accuracy": accuracy}


def gaussian_nll(outputs: tuple[Array, Array], examples: Examples, extra_count: float = 0.0) -> tuple[Array, Metrics]:
    """Mean -log N(y; mean, variance) in nats of outputs (mean [N], variance [N] > 0); `extra_count` as above."""
    mean, variance = outputs
    nll = 0.5 * (jnp.log(2 * jnp.pi * variance) + jnp.square(examples.y - mean) / variance)
    loss = masked_mean(nll, examples.mask, extra_count)
    return loss, {"loss": loss}


def one_hot_squared_error(outputs: Array, examples: Examples, extra_count: float = 0.0) -> tuple[Array, Metrics]:
    """Mean squared error of scores [N, C] to the one-hot of integer classes y [N], summed over the classes."""
    wanted = jax.nn.one_hot(examples.y, outputs.shape[-1], dtype=outputs.dtype)
    loss = masked_mean(jnp.sum(jnp.square(outputs - wanted), -1), examples.mask, extra_count)
    accuracy = masked_mean((outputs.argmax(-1) == examples.y).astype(outputs.dtype), examples.mask)
    return loss, {"loss": loss, "accuracy": accuracy}


def catalogue_cross_entropy(outputs: Array, examples: Examples, extra_count: float = 0.0) -> tuple[Array, Metrics]:
    """Mean over the positives (y = 1) of -log softmax of scores [N] over the real rows, in nats.

    The multinomial likelihood of Liang et al. 2018 (arXiv:1802.05814, eq. 2) over the number of positives.
    `extra_count` is added to that number; without a positive the loss is 0.
    """
    logits = jnp.where(examples.mask > 0, outputs, -jnp.inf)
    # Where the mask is 0 the log-probability is -inf, and 0 times that is not 0.
    likelihood = jnp.where(examples.mask > 0, jax.nn.log_softmax(logits), 0.0)
    loss = -masked_mean(likelihood, examples.y * examples.mask, extra_count)
    return loss, {"loss": loss}


def catalogue_ndcg(
    outputs: Array,
    examples: Examples,
    extra_count: float = 0.0,
    *,
    depth: int = 10,
    pool: int = 100,
    pairs: float = 1.0,
) -> tuple[Array, Metrics]:
    """`catalogue_cross_entropy` plus the pairs that decide nDCG@depth, of the `pool` real rows with the best scores.

    A likelihood is mostly about the many positives far down, nDCG about few rows on top. LambdaRank (Burges 2010, "From
    RankNet to LambdaRank to LambdaMART", section 4) weighs the pair of a positive p and a negative n by how much nDCG
    changes when they change places: sum of |discount(p) - discount(n)| softplus(s_n - s_p), over the best possible
    DCG. The cross-entropy moves the positives that are not in the pool, and says what a difference of scores means.

    Args:
      outputs: scores [N].
      examples: y is 1 or 0.
      extra_count: see `catalogue_cross_entropy`; added to the number of positives in both.
      depth, pool: static.
      pairs: weight of the pairs.
    """
    loss, _ = catalogue_cross_entropy(outputs, examples, extra_count)
    positive = examples.y * examples.mask
    real = jnp.where(examples.mask > 0, jax.lax.stop_gradient(outputs), -jnp.inf)
    _, best = jax.lax.top_k(real, min(pool, len(outputs)))
    place = jnp.arange(len(best))
    discount = jnp.where(place < depth, 1.0 / jnp.log2(place + 2.0), 0.0)
    ideal = jnp.sum(jnp.where(place < jnp.sum(positive) + extra_count, discount, 0.0))
    score, liked, other = outputs[best], positive[best], (examples.mask * (1.0 - examples.y))[best]
    swap = jnp.abs(discount[:, None] - discount) * liked[:, None] * other
    loss += pairs * jnp.sum(swap * jax.nn.softplus(score - score[:, None])) / jnp.maximum(ideal, 1.0)
    return loss, {"loss": loss}


def query_loss(adapt: Callable, predict: Callable, objective: Objective) -> Callable:
    """The meta-objective of most learners, as `Learner.loss`: the query's after adapting to the support."""

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key, step  # nothing is random, nothing changes in the course of training
        return objective(predict(adapt(params, episode.support), episode.query.x), episode.query)

    return loss
