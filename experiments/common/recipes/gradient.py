"""Learners that adapt by gradient steps, and the control that is only fine-tuned."""

from collections.abc import Callable
from functools import partial

from experiments.common.recipes.base import OUTER_SPACE, Built, Recipe, rating_net
from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.maml import maml
from metarec_jax.learners.transfer import transfer
from metarec_jax.spaces import Between
from metarec_jax.types import Learner

STEP_SPACE = {"inner_lr": Between(0.01, 0.3), "inner_steps": Between(1, 3), "prior_count": Between(0.5, 20.0)}


def build_by_gradient(
    rule: Callable[..., Learner],
    train: Ratings,
    *,
    inner_lr: float = 0.05,
    inner_steps: int = 1,
    prior_count: float = 5.0,
    id_dim: int = 32,
    width: int = 64,
) -> Built:
    """`rule`, which adapts a rating network by gradient steps: MAML, FOMAML, transfer."""
    net = rating_net(train, id_dim, width)
    return Built(rule(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, prior_count=prior_count))


SPACE = OUTER_SPACE | STEP_SPACE
RECIPES: dict[str, Recipe] = {
    "transfer": Recipe(partial(build_by_gradient, transfer), kind="baseline", space=SPACE),
    "fomaml": Recipe(partial(build_by_gradient, partial(maml, first_order=True)), space=SPACE),
    "maml": Recipe(partial(build_by_gradient, maml), space=SPACE),
}
