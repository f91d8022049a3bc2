"""Learners that read the support set with a network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from experiments.common.recipes.base import OUTER_SPACE, Built, Recipe, Training, example
from metarec_jax import objectives
from metarec_jax.baselines import gp
from metarec_jax.data.table import Ratings
from metarec_jax.learners.anp import anp
from metarec_jax.learners.cnp import cnp
from metarec_jax.learners.ridge import from_gaussian_process
from metarec_jax.learners.set_transformer import set_transformer
from metarec_jax.learners.tanp import tanp
from metarec_jax.models.recommender import TasteNet
from metarec_jax.spaces import Between, OneOf
from metarec_jax.types import Learner


def build(rule: Callable[..., Learner], train: Ratings, rank: int, gp_start: bool, **settings: Any) -> Built:
    """`rule` on a network of tastes, whose features and prior mean may start from a fitted Gaussian process."""
    mean, scale = float(train.rating.mean()), float(train.rating.std())
    fitted = gp.fit(train, rank=rank) if gp_start else None
    dim = fitted["phi"].shape[1] if fitted else rank
    learner = rule(TasteNet(train.num_items, mean, dim), scale=scale, **settings)
    if fitted is None:
        return Built(learner)
    params = jax.jit(learner.init)(jax.random.key(0), example(train))
    return Built(learner, params | {"net": from_gaussian_process(params, fitted, mean)["net"]})


def build_process(
    rule: Callable[..., Learner],
    train: Ratings,
    *,
    rank: int = 16,
    gp_start: bool = False,
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
    rank: int = 16,
    gp_start: bool = False,
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
    train: Ratings, *, rank: int = 16, gp_start: bool = False, width: int = 32, blocks: int = 2, dropout: float = 0.1
) -> Built:
    """The set transformer."""
    return build(set_transformer, train, rank, gp_start, width=width, blocks=blocks, dropout=dropout)


NETWORK = Training(weight_decay=1e-2)
NETWORK_SPACE = OUTER_SPACE | {"rank": OneOf((16, 32)), "dropout": Between(0.0, 0.4, log=False)}
PROCESS_SPACE = NETWORK_SPACE | {"count": Between(1.0, 20.0), "width": OneOf((32, 64))}
RECIPES: dict[str, Recipe] = {
    "cnp": Recipe(partial(build_process, cnp), NETWORK, space=PROCESS_SPACE),
    "anp": Recipe(partial(build_process, anp), NETWORK, space=PROCESS_SPACE),
    "tanp": Recipe(build_tanp, NETWORK, space=PROCESS_SPACE | {"kl_weight": Between(0.01, 1.0)}),
    "set_transformer": Recipe(build_set_transformer, NETWORK, space=NETWORK_SPACE | {"blocks": Between(1, 3)}),
}
