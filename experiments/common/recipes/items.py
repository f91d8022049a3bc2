"""Learners of new items: a task is an item, so the table is one with users and items exchanged."""

from experiments.common.recipes.base import Built, Recipe, Training
from experiments.common.recipes.closed_form import start_from_gp
from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.clcrec import clcrec
from metarec_jax.learners.dropoutnet import dropoutnet
from metarec_jax.learners.metaemb import metaemb
from metarec_jax.learners.mwuf import mwuf
from metarec_jax.spaces import Between, OneOf

NET_RATE = 0.1


def build_metaemb(
    train: Ratings,
    *,
    rank: int = 32,
    reg: float = 20.0,
    inner_lr: float = 3.0,
    inner_steps: int = 1,
    prior_count: float = 6.0,
    cold_weight: float = 0.1,
    width: int = 32,
    dropout: float = 0.2,
    net_rate: float = 0.1,
) -> Built:
    """MetaEmb."""
    step = {"lr": inner_lr, "steps": inner_steps, "prior_count": prior_count, "cold_weight": cold_weight}
    b = start_from_gp(
        train,
        lambda net: metaemb(net, objectives.squared_error, hidden=(width,), dropout=dropout, **step),
        rank,
        reg_population=reg,
    )
    return b._replace(rates={"net": net_rate})


def build_mwuf(
    train: Ratings,
    *,
    rank: int = 32,
    reg: float = 20.0,
    inner_lr: float = 3.0,
    inner_steps: int = 1,
    prior_count: float = 6.0,
    raters_count: float = 3.0,
    width: int = 32,
    dropout: float = 0.2,
    net_rate: float = 0.1,
) -> Built:
    """MWUF."""
    step = {"lr": inner_lr, "steps": inner_steps, "prior_count": prior_count, "raters_count": raters_count}
    b = start_from_gp(
        train,
        lambda net: mwuf(net, objectives.squared_error, hidden=(width,), dropout=dropout, **step),
        rank,
        reg_population=reg,
    )
    return b._replace(rates={"net": net_rate})


def build_dropoutnet(
    train: Ratings,
    *,
    rank: int = 32,
    reg: float = 20.0,
    drop: float = 0.3,
    width: int = 32,
    dropout: float = 0.2,
    net_rate: float = 0.1,
) -> Built:
    """DropoutNet."""
    b = start_from_gp(
        train,
        lambda net: dropoutnet(net, objectives.squared_error, drop=drop, hidden=(width,), dropout=dropout),
        rank,
        reg_population=reg,
    )
    return b._replace(rates={"net": net_rate, "log_noise": net_rate})


def build_clcrec(
    train: Ratings,
    *,
    rank: int = 32,
    reg: float = 20.0,
    contrast: float = 0.1,
    balance: float = 0.5,
    temperature: float = 0.5,
    width: int = 32,
    dropout: float = 0.2,
    net_rate: float = 0.1,
) -> Built:
    """CLCRec."""
    b = start_from_gp(
        train,
        lambda net: clcrec(
            net,
            objectives.squared_error,
            num_ids=net.num_ids,
            contrast=contrast,
            balance=balance,
            temperature=temperature,
            hidden=(width,),
            dropout=dropout,
        ),
        rank,
        reg_population=reg,
    )
    return b._replace(rates={"net": net_rate, "log_noise": net_rate})


FROM_GP = Training(outer_lr=1e-3, weight_decay=1e-2, batch=32, steps=1500, patience=600)
RECIPES: dict[str, Recipe] = {
    "metaemb": Recipe(build_metaemb, FROM_GP),
    "mwuf": Recipe(build_mwuf, FROM_GP),
    "clcrec": Recipe(build_clcrec, FROM_GP),
    "dropoutnet": Recipe(build_dropoutnet, FROM_GP),
}
