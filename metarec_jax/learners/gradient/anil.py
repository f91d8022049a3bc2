"""Almost no inner loop. Raghu, Raghu, Bengio and Vinyals 2020, arXiv:1909.09157.

MAML whose inner loop moves only the head w and leaves the body phi, the features, unchanged:
min over phi, w of the sum over tasks of L_query(phi, w - alpha grad_w L_support(phi, w)).

Easily got wrong: the body is still meta-learnt THROUGH the adaptation, because grad_w L_support depends on phi.
Training the body on the query alone, with the adapted head held constant, is another method.

The paper's head is the last layer of a classifier. A head for ratings has a bias, so it also learns the task's own
mean.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective
from metarec_jax.params import Path, named
from metarec_jax.types import Learner

is_head = named("head")


def anil(
    net: nn.Module, objective: Objective, *, lr: float, head: Callable[[Path], bool] = is_head, **inner: Any
) -> Learner:
    """MAML that adapts the head only.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...], for example `RatingNet`.
      objective: masked loss of both loops.
      lr: inner learning rate.
      head: which parameters the inner loop moves, by path; by default those of a module called "head".
      **inner: other keywords of `maml`: steps, first_order, prior_count, optimiser, checkpoint.
    """
    return maml(net, objective, lr=lr, shared=lambda path: not head(path), **inner)
