"""Transfer learning, the control: pre-train one network on everybody's ratings, fine-tune it on the support.

It has MAML's network and MAML's adaptation; only the loss knows nothing of adaptation. What MAML has over it is what
meta-learning adds; what it has over the classics is what a network adds.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Episode, Learner, Metrics, Params


def transfer(net: nn.Module, objective: Objective, *, lr: float, steps: int = 1, prior_count: float = 0.0) -> Learner:
    """Pre-training plus fine-tuning. Arguments as in `maml`, which see; lr, steps and prior_count act after training
    only."""
    fine_tuned = maml(net, objective, lr=lr, steps=steps, prior_count=prior_count)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key, step  # nothing is random, nothing changes in the course of training
        everything = jax.tree.map(lambda *rows: jnp.concatenate(rows), episode.support, episode.query)
        return objective(fine_tuned.predict(params, everything.x), everything)

    return fine_tuned._replace(loss=loss)
