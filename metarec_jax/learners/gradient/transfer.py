"""Transfer learning, the control: pre-train one network on all users' ratings, fine-tune it on the support.

It has MAML's network and MAML's adaptation; only its loss does not include adaptation. The difference from MAML is what
meta-learning adds; the difference from the classical methods is what a network adds.
"""

import flax.linen as nn

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective
from metarec_jax.ops.rows import join_rows
from metarec_jax.types import Array, Episode, Learner, Metrics, Params


def transfer(net: nn.Module, objective: Objective, *, lr: float, steps: int = 1, prior_count: float = 0.0) -> Learner:
    """Pre-training and fine-tuning.

    Args:
      net, objective: as in `maml` (see there).
      lr, steps, prior_count: as in `maml`; of the fine-tuning, so that training does not depend on them.
    """
    fine_tuned = maml(net, objective, lr=lr, steps=steps, prior_count=prior_count)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key, step  # the loss is deterministic, and the same at every training step
        everything = join_rows(episode.support, episode.query)
        return objective(fine_tuned.predict(params, everything.x), everything)

    return fine_tuned._replace(loss=loss)
