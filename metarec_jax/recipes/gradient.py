"""Learners that adapt by gradient steps, and the control that is only fine-tuned.

Their inner loss has a `prior_count`, 5 by default, which is in none of the papers (see `learners.gradient.maml`); only
`melu_published` has none.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.gradient.anil import anil
from metarec_jax.learners.gradient.cavia import cavia
from metarec_jax.learners.gradient.imaml import imaml
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.maml_plus_plus import maml_plus_plus
from metarec_jax.learners.gradient.mamo import mamo
from metarec_jax.learners.gradient.melu import melu
from metarec_jax.learners.gradient.meta_sgd import meta_sgd
from metarec_jax.learners.gradient.paml import paml
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.learners.gradient.transfer import transfer
from metarec_jax.recipes.base import OUTER_SPACE, Built, Recipe, rating_net
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.train.config import Config
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
    """`rule`, which adapts a rating network by gradient steps: MAML and its kin, transfer."""
    net = rating_net(train, id_dim, width)
    return Built(rule(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, prior_count=prior_count))


def build_cavia(
    train: Ratings,
    *,
    inner_lr: float = 0.5,
    inner_steps: int = 1,
    prior_count: float = 5.0,
    task_dim: int = 8,
    id_dim: int = 32,
    width: int = 64,
) -> Built:
    """CAVIA with a context of `task_dim` numbers a user."""
    net = rating_net(train, id_dim, width, task_dim=task_dim)
    return Built(cavia(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, prior_count=prior_count))


def build_maml_plus_plus(
    train: Ratings,
    *,
    inner_lr: float = 0.05,
    inner_steps: int = 3,
    prior_count: float = 5.0,
    anneal_steps: int = 500,
    id_dim: int = 32,
    width: int = 64,
) -> Built:
    """MAML++; the multi-step loss is MAML's after `anneal_steps` training steps."""
    rule = partial(maml_plus_plus, anneal_steps=anneal_steps)
    step = {"inner_lr": inner_lr, "inner_steps": inner_steps, "prior_count": prior_count}
    return build_by_gradient(rule, train, **step, id_dim=id_dim, width=width)


def build_imaml(
    train: Ratings,
    *,
    lam: float = 5.0,
    inner_lr: float = 0.05,
    inner_steps: int = 10,
    cg_steps: int = 5,
    prior_count: float = 5.0,
    id_dim: int = 32,
    width: int = 64,
) -> Built:
    """iMAML, whose memory does not depend on `inner_steps`, on a smooth network, without which it has no solution to
    find (see `imaml`); 3% of the inner problem's slope is left on MovieLens-100K."""
    net = rating_net(train, id_dim, width, activation=nn.silu)
    inner = {"lam": lam, "lr": inner_lr, "steps": inner_steps, "cg_steps": cg_steps, "prior_count": prior_count}
    return Built(imaml(net, objectives.squared_error, **inner))


def build_melu_published(train: Ratings, *, inner_lr: float = 5e-6, inner_steps: int = 1) -> Built:
    """MeLU as it was published: no ids, first order, and an inner rate that hardly moves a prediction."""
    side_dim = 4 * 32  # an item and a user have four features each, and each of these 32 numbers
    net = rating_net(train, id_dim=0, width=64, side_dim=side_dim, use_ids=False)
    return Built(melu(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, first_order=True))


SPACE = OUTER_SPACE | STEP_SPACE
RECIPES: dict[str, Recipe] = {
    "transfer": Recipe(partial(build_by_gradient, transfer), kind="baseline", space=SPACE),
    "fomaml": Recipe(partial(build_by_gradient, partial(maml, first_order=True)), space=SPACE),
    "maml": Recipe(partial(build_by_gradient, maml), space=SPACE),
    "anil": Recipe(partial(build_by_gradient, anil), space=SPACE),
    "melu": Recipe(partial(build_by_gradient, melu), space=SPACE),
    "melu_published": Recipe(
        build_melu_published,
        Config(outer_lr=5e-5, batch=32, steps=5000, patience=5000),  # thirty epochs of MovieLens-1M's users
        space={"outer_lr": Between(2e-5, 2e-3), "inner_lr": Between(1e-6, 1e-1)},
    ),
    "reptile": Recipe(  # one step would be joint training; few tasks, for each moves a copy of all tables of ids
        partial(build_by_gradient, reptile, inner_lr=0.02, inner_steps=2),
        Config(weight_decay=0.1, batch=32),
        space=SPACE | {"inner_steps": Between(2, 6)},
    ),
    "meta_sgd": Recipe(partial(build_by_gradient, meta_sgd), space=SPACE),
    "maml_plus_plus": Recipe(
        build_maml_plus_plus, space=SPACE | {"inner_steps": Between(2, 5), "anneal_steps": OneOf((100, 500, 1500))}
    ),
    "imaml": Recipe(
        build_imaml,
        Config(batch=32),  # a step of conjugate gradients costs as much as two of the inner loop
        # Where the rate and the number of steps come close to the inner solution.
        space=OUTER_SPACE | {"lam": Between(4.0, 20.0), "prior_count": Between(0.5, 20.0)},
    ),
    "paml": Recipe(partial(build_by_gradient, paml), space=SPACE),
    "mamo": Recipe(partial(build_by_gradient, mamo), space=SPACE),
    "cavia": Recipe(build_cavia, space=SPACE | {"inner_lr": Between(0.05, 3.0), "task_dim": OneOf((4, 8, 16, 32))}),
}
