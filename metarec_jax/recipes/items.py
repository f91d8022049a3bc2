"""Learners of new items: a task is an item, so they are for tables with users and items exchanged.

All start from a Gaussian process over users whose prior mean is linear in the items' side features. The penalty of that
prior is lower than for new users, for side features say more of an item than of a user.
"""

from collections.abc import Callable
from typing import Any

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.items.clcrec import clcrec
from metarec_jax.learners.items.dropoutnet import dropoutnet
from metarec_jax.learners.items.metaemb import metaemb
from metarec_jax.learners.items.mwuf import mwuf
from metarec_jax.models.recommender import TasteNet
from metarec_jax.recipes.base import Built, Recipe
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.recipes.start import PROCESS, from_fits
from metarec_jax.train.config import Config
from metarec_jax.types import Learner

REG_POPULATION = 20.0


def build(
    rule: Callable[..., Learner],
    train: Ratings,
    rank: int,
    reg_population: float,
    width: int,
    dropout: float,
    **settings: Any,
) -> Built:
    """`rule` on a taste network that starts from a Gaussian process; its networks have one layer of `width`."""

    def on(net: TasteNet) -> Learner:
        return rule(net, objectives.squared_error, hidden=(width,), dropout=dropout, **settings)

    return from_fits(train, on, rank, reg_population=reg_population)


def build_metaemb(
    train: Ratings,
    *,
    rank: int = 32,
    reg_population: float = REG_POPULATION,
    inner_lr: float = 3.0,
    inner_steps: int = 3,
    prior_count: float = 6.0,
    cold_weight: float = 0.1,
    width: int = 32,
    dropout: float = 0.2,
) -> Built:
    """MetaEmb; the vectors of a process are short, so that the inner rate is not small."""
    step = {"lr": inner_lr, "steps": inner_steps, "prior_count": prior_count}
    return build(metaemb, train, rank, reg_population, width, dropout, cold_weight=cold_weight, **step)


def build_mwuf(
    train: Ratings,
    *,
    rank: int = 32,
    reg_population: float = REG_POPULATION,
    inner_lr: float = 3.0,
    inner_steps: int = 3,
    prior_count: float = 6.0,
    raters_count: float = 3.0,
    width: int = 32,
    dropout: float = 0.2,
) -> Built:
    """MWUF, with the inner steps of MetaEmb."""
    step = {"lr": inner_lr, "steps": inner_steps, "prior_count": prior_count}
    return build(mwuf, train, rank, reg_population, width, dropout, raters_count=raters_count, **step)


def build_dropoutnet(
    train: Ratings,
    *,
    rank: int = 32,
    reg_population: float = REG_POPULATION,
    drop: float = 0.3,
    width: int = 32,
    dropout: float = 0.2,
) -> Built:
    """DropoutNet."""
    return build(dropoutnet, train, rank, reg_population, width, dropout, drop=drop)


def build_clcrec(
    train: Ratings,
    *,
    rank: int = 32,
    reg_population: float = REG_POPULATION,
    contrast: float = 0.03,
    balance: float = 0.5,
    temperature: float = 0.5,
    width: int = 32,
    dropout: float = 0.2,
) -> Built:
    """CLCRec; the contrasts count little, for on MovieLens they do not help the ratings."""
    contrasts = {"contrast": contrast, "balance": balance, "temperature": temperature}
    return build(clcrec, train, rank, reg_population, width, dropout, num_ids=train.num_items, **contrasts)


FROM_GP = Config(outer_lr=1e-3, weight_decay=1e-2, batch=32, steps=1500, patience=600)
SPACE = {
    "outer_lr": Between(1e-4, 3e-3),
    "weight_decay": Between(1e-4, 1.0),
    "rank": OneOf((16, 32, 48)),
    "reg_population": OneOf((5.0, 10.0, 20.0, 60.0)),
    "width": OneOf((16, 32, 64)),
    "dropout": OneOf((0.0, 0.2, 0.5)),
}
STEP_SPACE = SPACE | {"inner_lr": Between(0.5, 6.0), "inner_steps": Between(1, 5), "prior_count": Between(2.0, 20.0)}
RECIPES: dict[str, Recipe] = {
    "metaemb": Recipe(build_metaemb, FROM_GP, start=PROCESS, space=STEP_SPACE | {"cold_weight": Between(0.01, 0.5)}),
    "mwuf": Recipe(build_mwuf, FROM_GP, start=PROCESS, space=STEP_SPACE | {"raters_count": Between(1.0, 20.0)}),
    "dropoutnet": Recipe(build_dropoutnet, FROM_GP, start=PROCESS, space=SPACE | {"drop": OneOf((0.0, 0.1, 0.3, 0.5))}),
    "clcrec": Recipe(
        build_clcrec,
        FROM_GP,
        start=PROCESS,
        space=SPACE
        | {"contrast": Between(0.003, 0.3), "balance": Between(0.0, 1.0, log=False), "temperature": Between(0.1, 2.0)},
    ),
}
