"""Proto-MAML: MAML whose head starts at the prototypes. Triantafillou et al. 2020, arXiv:1903.03096, section 3.

A prototype classifier with the squared Euclidean distance is linear: -|f(x) - c_k|^2 = 2 c_k . f(x) - |c_k|^2 plus a
term that is the same for every class. So the inner loop begins at w_k = 2 c_k and b_k = -|c_k|^2 and moves head and
body from there. No head is meta-learnt, so the number of ways is free and the labels of the classes are arbitrary.

Easily got wrong: the prototypes depend on the body, and the meta-gradient passes through them too.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.metric.protonet import class_sums
from metarec_jax.models.conv4 import Classifier
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params

NEVER = -1e9  # bias of a class without support; finite, so that its gradient is not NaN


def proto_maml(body: nn.Module, objective: Objective, *, ways: int, lr: float, **inner: Any) -> Learner:
    """Proto-MAML. Outputs are logits [N, ways]; y are classes 0..ways-1.

    Args:
      body: Flax module from x of [N, ...] to embeddings [N, D].
      objective: `objectives.cross_entropy` in the paper.
      ways: number of classes. A class without support gets probability 0, so an episode may have fewer.
      lr: inner learning rate.
      **inner: other keywords of `maml`: steps, first_order, prior_count, optimiser, checkpoint.
    """
    inner_maml = maml(Classifier(body, ways), objective, lr=lr, **inner)

    def init(key: Array, episode: Episode) -> Params:
        return {"body": body.init(key, episode.support.x)["params"]}

    def adapt(params: Params, support: Examples) -> Fast:
        embedded = body.apply({"params": params["body"]}, support.x)
        sums, counts = class_sums(embedded, support.y, support.mask, ways)
        prototypes = sums / jnp.maximum(counts, 1.0)[:, None]
        bias = jnp.where(counts > 0, -jnp.sum(jnp.square(prototypes), -1), NEVER)
        return inner_maml.adapt(params | {"head": {"kernel": 2.0 * prototypes.T, "bias": bias}}, support)

    return Learner(init, adapt, inner_maml.predict, query_loss(adapt, inner_maml.predict, objective))
