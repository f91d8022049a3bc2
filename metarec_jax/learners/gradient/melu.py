"""MeLU, meta-learned user preference estimator. Lee, Im, Jang, Cho and Chung 2019, arXiv:1908.00413.

MAML whose inner loop moves the decision layers theta_2, that is hidden layers and head, and never the embeddings
theta_1 of items' and users' features (Algorithm 1 of the paper): theta_2' = theta_2 - alpha grad_theta_2 L_support. The
outer loop trains both.

Easily got wrong: "embeddings" are the maps of side features as well as tables of ids; biases of ids belong to them too.

The PUBLISHED configuration differs from a configuration that one would choose today:
- Its network reads no ids of items or users, only their side features, each embedded to 32 numbers: four of an item
  (rating board, genre, director, actor) and four of a user; then two decision layers of 64. (Here:
  `RatingNet(use_ids=False)` with one linear map to 128 numbers for all features of an item, another for a user's.)
- Its code loads the adapted weights back into the module, which cuts the graph. The meta-gradient is FIRST ORDER,
  though the paper's text does not say so.
- Its inner rate is 5e-6 with one step (outer Adam 5e-5, 32 tasks a step). With errors of about a star the weights move
  by a few millionths. ADAPTATION HARDLY CHANGES A PREDICTION, and what is measured is a content model that was trained
  on all users.
Both are kept here: `melu` on this package's network and rates, and the recipe `melu_published`. The recipe differs from
what was published too: it trains on the benchmark's episodes (there a user's query is ten ratings, and the support all
others), by Adam with a cosine schedule, and on ratings in standard units, in which its inner rate is meant.
"""

from typing import Any

import flax.linen as nn

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective
from metarec_jax.params import Path, is_id_table, named
from metarec_jax.types import Learner

_is_side_embedding = named("content", "context")


def is_embedding(path: Path) -> bool:
    """Whether a parameter embeds an id or side features; all others are decision layers."""
    return is_id_table(path) or _is_side_embedding(path)


def melu(net: nn.Module, objective: Objective, *, lr: float, **inner: Any) -> Learner:
    """MAML that adapts the decision layers only.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...] whose embeddings have the names of `models.recommender`.
      objective: masked loss of both loops; mean squared error in the paper.
      lr: inner learning rate.
      **inner: other keywords of `maml`: steps, first_order, prior_count, optimiser, checkpoint.
    """
    return maml(net, objective, lr=lr, shared=is_embedding, **inner)
