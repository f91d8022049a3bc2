"""R2-D2 whose regression is fitted again together with the queries that it has labelled.

R2-D2 (Bertinetto et al. 2019, arXiv:1805.08136) regresses one-hot labels of the support on embeddings. Here the queries
are then given soft labels, balanced over the classes (`refined_protonet.assignment`), and join the regression with a
weight, several times: self-training, with the class balance of Boudiaf et al. 2020 (arXiv:2008.11297). TRANSDUCTIVE:
the prediction of a query depends on the other queries of the episode. Where a class mean is a poor head, as for sparse
features, so is a mean that is refined by queries; this regression need not be.

Four numbers are meta-learnt beside the network: the penalty, the scale of the logits, the weight of a query, and how
balanced the queries are over the classes (see `refined_protonet` for when the last is wrong).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.learners.metric.refined_protonet import SCALAR_RATE, assignment
from metarec_jax.objectives import Objective
from metarec_jax.ops.linear import inverse_and_log_determinant
from metarec_jax.types import Array, Examples, Fast, Learner, Params


def refined_r2d2(
    net: nn.Module,
    objective: Objective,
    *,
    ways: int,
    steps: int = 4,
    lam: float = 10.0,
    scale: float = 8.0,
    weight: float = 0.5,
    balance: float = 1.0,
) -> Learner:
    """Outputs are log-probabilities [N, ways]. A class without support gets probability 0.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      objective: for example `objectives.cross_entropy`.
      ways: number of classes C.
      steps: how often the queries are labelled and join the regression; 0 is R2-D2 with a class balance.
      lam: initial penalty, in squared units of the embeddings; learnt, as are all numbers below.
      scale: of the logits.
      weight: of a query in the regression, where an example of the support has 1.
      balance: see `refined_protonet.Refinement`.
    """

    def init(key: Array, embedded: Array) -> Params:
        logs = {"lam": jnp.log(lam), "scale": jnp.log(scale), "weight": jnp.log(weight)}
        numbers = logs | {"balance": balance}
        return {"numbers": {name: jnp.float32(number / SCALAR_RATE) for name, number in numbers.items()}}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        return {"rows": embedded, "y": support.y, "mask": support.mask}

    def predict(fast: Fast, queries: Array) -> Array:
        numbers = {name: SCALAR_RATE * number for name, number in fast["numbers"].items()}
        lam, scale, weight = (jnp.exp(numbers[name]) for name in ("lam", "scale", "weight"))
        known = jax.nn.one_hot(fast["y"], ways, dtype=queries.dtype) * fast["mask"][:, None]
        counts = jnp.sum(known, 0)
        present = (counts > 0).astype(queries.dtype)
        even = present / jnp.maximum(jnp.sum(present), 1.0)
        wanted = (known - even) * fast["mask"][:, None]
        rows = jnp.concatenate([fast["rows"], queries])
        gram = rows @ rows.T

        def labelled(logits: Array) -> Array:
            return assignment(scale * logits, counts, numbers["balance"])

        def step(logits: Array, _: None) -> tuple[Array, None]:
            targets = jnp.concatenate([wanted, jnp.exp(labelled(logits)) - even])
            return across @ (joint @ (roots[:, None] * targets)), None

        number = len(fast["rows"])
        alone = _regression(gram[:number, :number], fast["mask"], lam)
        logits = gram[number:, :number] @ (fast["mask"][:, None] * (alone @ wanted))
        # The weights are the same in every step, and so is the matrix to be inverted.
        roots = jnp.sqrt(jnp.concatenate([fast["mask"], jnp.full(len(queries), weight)]))
        joint, across = _regression(gram, roots, lam), gram[number:] * roots
        return labelled(jax.lax.scan(step, logits, length=steps)[0])

    return on_embeddings(net, Head(init, adapt, predict), objective)


def _regression(gram: Array, roots: Array, lam: Array) -> Array:
    """(S K S + lam I)^-1 [N, N] of a Gram matrix K and the square roots S of the weights of its rows, 0 for padding."""
    return inverse_and_log_determinant(roots[:, None] * gram * roots + lam * jnp.eye(len(gram), dtype=gram.dtype))[0]
