"""Learners that adapt by gradient steps, and the control that is only fine-tuned.

Most of them adapt the weights of a linear taste that starts from a Gaussian process, so that a table compares rules of
adaptation and not starts. Those whose idea is about a whole network (`transfer`, ANIL, Reptile, MeLU, PAML, MAMO, and
`maml_network` for comparison with them) adapt one that starts at random. With one vector that is moved, ANIL is MAML.

Their inner loss has a `prior_count`, 5 by default, which is in none of the papers (see `learners.gradient.maml`); only
`melu_published` has none.
"""

from collections.abc import Callable
from functools import partial

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
from metarec_jax.learners.wrappers.known_support import known_support
from metarec_jax.models.trust import TasteRating, TrustedTaste
from metarec_jax.params import Path, named
from metarec_jax.recipes.base import OUTER_SPACE, Built, Recipe, rating_net
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.recipes.start import PROCESS, TRUST, TRUST_SPACE, from_fits, known
from metarec_jax.train.config import Config
from metarec_jax.types import Learner

STEP_SPACE = {"inner_lr": Between(0.01, 0.3), "inner_steps": Between(1, 3), "prior_count": Between(0.5, 20.0)}


def build_on_network(
    rule: Callable[..., Learner],
    train: Ratings,
    *,
    inner_lr: float = 0.05,
    inner_steps: int = 1,
    prior_count: float = 5.0,
    id_dim: int = 32,
    width: int = 64,
) -> Built:
    """`rule`, which adapts a rating network by gradient steps, from random weights."""
    net = rating_net(train, id_dim, width)
    return Built(rule(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, prior_count=prior_count))


def build_on_taste(
    rule: Callable[..., Learner],
    train: Ratings,
    *,
    inner_lr: float = 4.0,
    inner_steps: int = 5,
    prior_count: float = 20.0,
    rank: int = 32,
    shrink: float = 50.0,
    reg_population: float = 60.0,
    choice: bool = True,
) -> Built:
    """`rule`, which adapts the weights of a linear taste by gradient steps, from a Gaussian process; unless `choice` is
    false, the weights start from what the choice of items says."""
    step = {"lr": inner_lr, "steps": inner_steps, "prior_count": prior_count}

    def on(net: TrustedTaste) -> Learner:
        learner = rule(TasteRating(net), objectives.squared_error, shared=lambda path: not is_task_vector(path), **step)
        return known_support(learner, moved=is_start, **known(train, net, choice))

    return from_fits(train, on, rank, shrink=shrink, reg_population=reg_population)


is_task_vector = named("weights")


def is_start(path: Path) -> bool:
    """Whether a parameter is where that vector starts, and not a rate of it."""
    return is_task_vector(path) and "rates" not in path


def on_context(net: TasteRating, objective: objectives.Objective, *, shared: Callable, **inner: float) -> Learner:
    """CAVIA, whose context is the vector of weights, and all it moves (`shared` says the same)."""
    del shared
    return cavia(net, objective, context="weights", **inner)


def build_maml_plus_plus(
    train: Ratings,
    *,
    inner_lr: float = 4.0,
    inner_steps: int = 5,
    prior_count: float = 20.0,
    anneal_steps: int = 100,
    rank: int = 32,
    shrink: float = 50.0,
    reg_population: float = 60.0,
    choice: bool = True,
) -> Built:
    """MAML++; the multi-step loss is MAML's after `anneal_steps` training steps."""
    rule = partial(maml_plus_plus, anneal_steps=anneal_steps)
    step = {"inner_lr": inner_lr, "inner_steps": inner_steps, "prior_count": prior_count}
    process = {"rank": rank, "shrink": shrink, "reg_population": reg_population}
    return build_on_taste(rule, train, **step, **process, choice=choice)


def build_imaml(
    train: Ratings,
    *,
    lam: float = 0.06,
    inner_lr: float = 2.0,
    inner_steps: int = 20,
    cg_steps: int = 5,
    prior_count: float = 20.0,
    rank: int = 32,
    shrink: float = 50.0,
    reg_population: float = 60.0,
    choice: bool = True,
) -> Built:
    """iMAML, whose pull to the start is the prior of the process: its solution is a ridge regression."""
    rule = partial(imaml, lam=lam, cg_steps=cg_steps)
    step = {"inner_lr": inner_lr, "inner_steps": inner_steps, "prior_count": prior_count}
    process = {"rank": rank, "shrink": shrink, "reg_population": reg_population}
    return build_on_taste(rule, train, **step, **process, choice=choice)


def build_melu_published(train: Ratings, *, inner_lr: float = 5e-6, inner_steps: int = 1) -> Built:
    """MeLU as it was published: no ids, first order, and an inner rate that hardly moves a prediction."""
    side_dim = 4 * 32  # an item and a user have four features each, and each of these 32 numbers
    net = rating_net(train, id_dim=0, width=64, side_dim=side_dim, use_ids=False)
    return Built(melu(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, first_order=True))


NETWORK_SPACE = OUTER_SPACE | STEP_SPACE
SPACE = TRUST_SPACE | {"inner_lr": Between(1.0, 10.0), "inner_steps": Between(3, 8), "prior_count": Between(5.0, 50.0)}
RECIPES: dict[str, Recipe] = {
    "transfer": Recipe(partial(build_on_network, transfer), kind="baseline", space=NETWORK_SPACE),
    "maml_network": Recipe(partial(build_on_network, maml), space=NETWORK_SPACE),
    "maml": Recipe(partial(build_on_taste, maml), TRUST, start=PROCESS, space=SPACE),
    "fomaml": Recipe(partial(build_on_taste, partial(maml, first_order=True)), TRUST, start=PROCESS, space=SPACE),
    "meta_sgd": Recipe(partial(build_on_taste, meta_sgd), TRUST, start=PROCESS, space=SPACE),
    "maml_plus_plus": Recipe(
        build_maml_plus_plus, TRUST, start=PROCESS, space=SPACE | {"anneal_steps": OneOf((1, 50, 100, 200))}
    ),
    "imaml": Recipe(
        build_imaml,
        TRUST,
        start=PROCESS,
        space=SPACE | {"lam": Between(0.02, 0.3), "inner_lr": Between(0.5, 3.0), "inner_steps": Between(10, 40)},
    ),
    "cavia": Recipe(  # its context starts from 0 for everybody, and so not from the choice
        partial(build_on_taste, on_context, choice=False), TRUST, start=PROCESS, space=SPACE
    ),
    "reptile": Recipe(  # one step would be joint training; few tasks, for each moves a copy of all tables of ids
        partial(build_on_network, reptile, inner_lr=0.02, inner_steps=2),
        Config(weight_decay=0.1, batch=32),
        space=NETWORK_SPACE | {"inner_steps": Between(2, 6)},
    ),
    "anil": Recipe(partial(build_on_network, anil), space=NETWORK_SPACE),
    "melu": Recipe(partial(build_on_network, melu), space=NETWORK_SPACE),
    "melu_published": Recipe(
        build_melu_published,
        Config(outer_lr=5e-5, batch=32, steps=5000, patience=5000),  # thirty epochs of MovieLens-1M's users
        space={"outer_lr": Between(2e-5, 2e-3), "inner_lr": Between(1e-6, 1e-1)},
    ),
    "paml": Recipe(partial(build_on_network, paml), space=NETWORK_SPACE),
    "mamo": Recipe(partial(build_on_network, mamo), space=NETWORK_SPACE),
}
