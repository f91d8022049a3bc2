"""Prototypes that the queries themselves refine: soft k-means from the means of the support.

Ren et al. 2018, arXiv:1803.00676 (section 3.1.1, eq. 3), with the task's own queries as the unlabelled examples. So it
is TRANSDUCTIVE: what is said of one query depends on which others are asked with it. With one shot the mean of a class
is known badly, and many queries tell where the classes lie.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.embedding import Head, on_embeddings
from metarec_jax.learners.protonet import class_sums, distances
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Examples, Fast, Learner, Params


def refined_protonet(
    net: nn.Module, objective: Objective, *, ways: int, steps: int = 3, sharpness: float = 0.3
) -> Learner:
    """Outputs are log-probabilities [N, ways], by squared distances to the refined prototypes.

    A step assigns each query to classes by a softmax of -sharpness times its squared distances, and takes a class's
    prototype to be the mean of its support and of its share of the queries.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: for example `objectives.cross_entropy`.
      ways: number of classes C. A class without support gets probability 0.
      steps: of k-means; the paper has 1.
      sharpness: at first; learnt.
    """

    def init(key: Array, embedded: Array) -> Params:
        return {"log_sharpness": jnp.log(jnp.float32(sharpness))}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        sums, counts = class_sums(embedded, support.y, support.mask, ways)
        return {"sums": sums, "counts": counts}

    def predict(fast: Fast, queries: Array) -> Array:
        prototypes = refine(fast["sums"], fast["counts"], queries, jnp.exp(fast["log_sharpness"]), steps)
        return jax.nn.log_softmax(_logits(prototypes, fast["counts"], queries, 1.0), -1)

    return on_embeddings(net, Head(init, adapt, predict), objective)


def refine(sums: Array, counts: Array, queries: Array, sharpness: Array | float, steps: int) -> Array:
    """Prototypes [C, D] after so many steps of soft k-means.

    Args:
      sums: [C, D] of the embedded support of each class.
      counts: [C] how many there are.
      queries: [N, D] embedded.
      sharpness: of the assignment.
      steps: 0 gives the means of the support.
    """

    def step(prototypes: Array, _: None) -> tuple[Array, None]:
        share = jax.nn.softmax(_logits(prototypes, counts, queries, sharpness), -1)
        total = counts[:, None] + jnp.sum(share, 0)[:, None]
        return (sums + share.T @ queries) / jnp.maximum(total, 1e-6), None

    return jax.lax.scan(step, sums / jnp.maximum(counts, 1.0)[:, None], length=steps)[0]


def _logits(prototypes: Array, counts: Array, queries: Array, scale: Array | float) -> Array:
    logits = -scale * distances(queries, prototypes, "squared_euclidean")
    return jnp.where(counts == 0, -1e9, logits)
