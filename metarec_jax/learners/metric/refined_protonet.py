"""Prototypes that the queries themselves refine: soft k-means from the means of the support.

Ren et al. 2018, arXiv:1803.00676 (section 3.1.1, eq. 3), with the task's own queries as the unlabelled examples. So it
is TRANSDUCTIVE: what is said of one query depends on which others are asked with it. With one shot the mean of a class
is known badly, and many queries tell where the classes lie.

Three numbers of it are meta-learnt beside the network: how sharply a query belongs to a class, how much of an example
it is, and how evenly the classes of a task are asked about, which Boudiaf et al. 2020 (arXiv:2008.11297) have as the
entropy of the marginal. Easily got wrong: the last is a property of the episodes. Where a task's queries are mostly of
one class, a balance learnt from episodes with equally many of each is wrong.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.learners.metric.protonet import class_sums, distances
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Examples, Fast, Learner, Params

NEVER = -1e9  # logit of a class without support; finite, so that its slope is not NaN
EVENING = 10  # corrections towards even classes in every assignment
SCALAR_RATE = 30.0  # times the learning rate of the network, for single numbers


class Refinement(NamedTuple):
    """How queries refine prototypes."""

    sharpness: Array | float  # of the assignment, in units of one over a squared distance
    weight: Array | float = 1.0  # of a query in the mean of its class, where an example of the support has 1
    balance: Array | float = 0.0  # 0: classes may be asked about in any shares; 1: evenly; above 1: sooner so


def refined_protonet(
    net: nn.Module,
    objective: Objective,
    *,
    ways: int,
    steps: int = 3,
    sharpness: float = 0.3,
    balance: float = 0.0,
) -> Learner:
    """Outputs are log-probabilities [N, ways], by squared distances to the refined prototypes.

    A step assigns each query to classes by a softmax of -sharpness times its squared distances, and takes a class's
    prototype to be the mean of its support and of its share of the queries.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: for example `objectives.cross_entropy`.
      ways: number of classes C. A class without support gets probability 0.
      steps: of k-means; the paper has 1.
      sharpness, balance: at first; learnt. So is the weight of a query, 1 at first.
    """

    def init(key: Array, embedded: Array) -> Params:
        numbers = Refinement(jnp.log(jnp.float32(sharpness)), jnp.float32(0.0), jnp.float32(balance))
        return {"refinement": jax.tree.map(lambda number: number / SCALAR_RATE, numbers._asdict())}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        sums, counts = class_sums(embedded, support.y, support.mask, ways)
        return {"sums": sums, "counts": counts}

    def predict(fast: Fast, queries: Array) -> Array:
        numbers = Refinement(**jax.tree.map(lambda number: SCALAR_RATE * number, fast["refinement"]))
        how = Refinement(jnp.exp(numbers.sharpness), jnp.exp(numbers.weight), numbers.balance)
        counts = fast["counts"]
        prototypes = refine(fast["sums"], counts, queries, how, steps)
        return assignment(-distances(queries, prototypes, "squared_euclidean"), counts, how.balance)

    return on_embeddings(net, Head(init, adapt, predict), objective)


def refine(sums: Array, counts: Array, queries: Array, how: Refinement, steps: int) -> Array:
    """Prototypes [C, D] after so many steps of soft k-means.

    Args:
      sums: [C, D] of the embedded support of each class.
      counts: [C] how many there are.
      queries: [N, D] embedded.
      how: see there.
      steps: 0 gives the means of the support.
    """

    def step(prototypes: Array, _: None) -> tuple[Array, None]:
        logits = -how.sharpness * distances(queries, prototypes, "squared_euclidean")
        weights = how.weight * jnp.exp(assignment(logits, counts, how.balance))
        total = counts[:, None] + jnp.sum(weights, 0)[:, None]
        return (sums + weights.T @ queries) / jnp.maximum(total, 1e-6), None

    return jax.lax.scan(step, sums / jnp.maximum(counts, 1.0)[:, None], length=steps)[0]


def assignment(logits: Array, counts: Array, balance: Array | float) -> Array:
    """Log-probabilities [N, C] of classes for queries that are asked together, shifted towards even classes.

    Each correction takes from the logits of a class `balance` times the log of its share of all queries over what it
    would be if the classes were even. With 1 these are Sinkhorn's iterations.

    Args:
      logits: [N, C].
      counts: [C] examples of each class; classes without any get probability 0 and are no part of the balance.
      balance: see `Refinement`.
    """
    present = counts > 0
    logits = jnp.where(present, logits, NEVER)
    even = present / jnp.maximum(jnp.sum(present), 1)
    for _ in range(EVENING):
        fraction = jnp.mean(jax.nn.softmax(logits, -1), 0)
        excess = jnp.where(present, jnp.log((fraction + 1e-6) / (even + 1e-6)), 0.0)
        logits = logits - balance * excess
    return jax.nn.log_softmax(logits, -1)
