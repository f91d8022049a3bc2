"""Prototypes that are refined by the queries: soft k-means from the means of the support.

Ren et al. 2018, arXiv:1803.00676 (section 3.1.1, eq. 3), with the task's own queries as the unlabelled examples. It is
therefore TRANSDUCTIVE: the prediction of a query depends on the other queries of the episode. With one shot the mean of
a class is uncertain, and many queries show where the classes are.

Three numbers are meta-learnt beside the network: how sharp the assignment of a query to classes is, the weight of a
query relative to an example of the support, and how balanced the queries are over the classes, which is the entropy of
the marginal in Boudiaf et al. 2020 (arXiv:2008.11297).

Easily got wrong: the balance is a property of the episodes. It is learnt from episodes with equally many queries of
each class, and is wrong where most of a task's queries belong to one class.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.learners.metric.protonet import class_sums, distances
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Examples, Fast, Learner, Params

NEVER = -1e9  # logit of a class without support; finite, so that its gradient is not NaN
EVENING = 10  # corrections towards balanced classes in every assignment
SCALAR_RATE = 30.0  # learning rate of the three numbers over that of the network


class Refinement(NamedTuple):
    """How queries refine prototypes."""

    sharpness: Array | float  # of the assignment, in units of 1 / squared distance
    weight: Array | float = 1.0  # of a query in the mean of its class, where an example of the support has 1
    balance: Array | float = (
        0.0  # 0: any fractions of classes among the queries; 1: equal ones; above 1: equal in fewer corrections
    )


def refined_protonet(
    net: nn.Module,
    objective: Objective,
    *,
    ways: int,
    steps: int = 3,
    sharpness: float = 0.3,
    balance: float = 0.0,
) -> Learner:
    """Outputs are log-probabilities [N, ways], from squared distances to the refined prototypes.

    A step assigns each query to the classes by a softmax of -sharpness times its squared distances. The new prototype
    of a class is the mean of its support and of the queries, weighted by their assignment to it.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: for example `objectives.cross_entropy`.
      ways: number of classes C. A class without support gets probability 0.
      steps: of k-means; 1 in the paper.
      sharpness, balance: initial values; learnt. The weight of a query is learnt too, and 1 at first.
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
    """Prototypes [C, D] after `steps` steps of soft k-means.

    Args:
      sums: [C, D] sums of the embedded support of each class.
      counts: [C] numbers of examples in them.
      queries: [N, D] embedded.
      how: the numbers of the refinement.
      steps: 0 gives the means of the support.
    """

    def step(prototypes: Array, _: None) -> tuple[Array, None]:
        logits = -how.sharpness * distances(queries, prototypes, "squared_euclidean")
        weights = how.weight * jnp.exp(assignment(logits, counts, how.balance))
        total = counts[:, None] + jnp.sum(weights, 0)[:, None]
        return (sums + weights.T @ queries) / jnp.maximum(total, 1e-6), None

    return jax.lax.scan(step, sums / jnp.maximum(counts, 1.0)[:, None], length=steps)[0]


def assignment(logits: Array, counts: Array, balance: Array | float) -> Array:
    """Log-probabilities [N, C] of the classes of all queries of an episode, corrected towards balanced classes.

    Each correction subtracts, from the logits of a class, `balance` times the log of its fraction of all queries over
    the fraction in balanced classes. With balance 1 these are Sinkhorn's iterations.

    Args:
      logits: [N, C].
      counts: [C] examples of each class; classes without any get probability 0 and are not part of the balance.
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
