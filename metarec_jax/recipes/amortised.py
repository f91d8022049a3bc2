"""Learners that read the support set with a network."""

from collections.abc import Callable
from functools import partial
from typing import Any

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.amortised.anp import anp
from metarec_jax.learners.amortised.cnp import cnp
from metarec_jax.learners.amortised.set_transformer import set_transformer
from metarec_jax.learners.amortised.tanp import tanp
from metarec_jax.models.recommender import TasteNet
from metarec_jax.recipes.base import Built, Recipe
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.recipes.start import PROCESS, from_fits
from metarec_jax.train.config import Config
from metarec_jax.types import Learner


def build(rule: Callable[..., Learner], train: Ratings, rank: int, gp_start: bool, **settings: Any) -> Built:
    """`rule` on a taste network of `rank` that starts from a Gaussian process, or else at random."""
    rule = partial(rule, **settings)
    return from_fits(train, rule, rank) if gp_start else Built(rule(TasteNet(train.num_items, dim=rank)))


def build_process(
    rule: Callable[..., Learner],
    train: Ratings,
    *,
    rank: int = 32,
    gp_start: bool = True,
    width: int = 64,
    count: float = 3.0,
    dropout: float = 0.1,
    likelihood: bool = True,
) -> Built:
    """A neural process: CNP, ANP. `likelihood` trains variances too; without it the loss is the squared error."""
    objective = None if likelihood else objectives.squared_error
    return build(rule, train, rank, gp_start, objective=objective, width=width, count=count, dropout=dropout)


def build_tanp(
    train: Ratings,
    *,
    rank: int = 32,
    gp_start: bool = True,
    width: int = 32,
    latent_dim: int = 16,
    clusters: int = 8,
    gated: bool = False,
    kl_weight: float = 0.1,
    cluster_weight: float = 0.1,
    count: float = 3.0,
    dropout: float = 0.1,
) -> Built:
    """The task-adaptive neural process."""
    settings = {"clusters": clusters, "gated": gated, "kl_weight": kl_weight, "cluster_weight": cluster_weight}
    settings |= {"width": width, "latent_dim": latent_dim, "count": count, "dropout": dropout}
    return build(tanp, train, rank, gp_start, **settings)


def build_set_transformer(
    train: Ratings, *, rank: int = 32, gp_start: bool = True, width: int = 32, blocks: int = 2, dropout: float = 0.1
) -> Built:
    """The set transformer."""
    return build(set_transformer, train, rank, gp_start, width=width, blocks=blocks, dropout=dropout)


FROM_GP = Config(outer_lr=3e-4, weight_decay=1e-2)  # from scratch 1e-3 is better
SPACE = {
    "outer_lr": Between(5e-5, 2e-3),
    "weight_decay": Between(1e-5, 1e-1),
    "rank": OneOf((16, 32)),
    "dropout": OneOf((0.0, 0.1, 0.2, 0.4)),
}
PROCESS_SPACE = SPACE | {"count": Between(1.0, 20.0), "width": OneOf((32, 64))}
RECIPES: dict[str, Recipe] = {
    "cnp": Recipe(partial(build_process, cnp), FROM_GP, start=PROCESS, space=PROCESS_SPACE),
    "anp": Recipe(partial(build_process, anp), FROM_GP, start=PROCESS, space=PROCESS_SPACE),
    "tanp": Recipe(build_tanp, FROM_GP, start=PROCESS, space=PROCESS_SPACE | {"kl_weight": Between(0.01, 1.0)}),
    "set_transformer": Recipe(build_set_transformer, FROM_GP, start=PROCESS, space=SPACE | {"blocks": Between(1, 3)}),
}
