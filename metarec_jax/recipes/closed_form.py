"""Learners whose adaptation is a linear model of the task, solved exactly."""

import flax.linen as nn

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.learners.closed_form.attentive_ridge import Keys, attentive_ridge
from metarec_jax.learners.closed_form.deep_kernel import deep_kernel
from metarec_jax.learners.closed_form.logistic import logistic
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.recipes.base import Built, Recipe
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.recipes.start import PROCESS, RANK_SPACE, TRUST, TRUST_SPACE, from_fits, known
from metarec_jax.types import Learner


def build_ridge(
    train: Ratings,
    *,
    rank: int = 32,
    shrink: float = 50.0,
    reg_population: float = 60.0,
    reg_by_group: bool = False,
    choice: bool = True,
) -> Built:
    """Ridge head, from a Gaussian process, with a prior mean from which items were rated unless `choice` is false."""

    def rule(net: nn.Module) -> Learner:
        return ridge(net, objectives.squared_error, **known(train, net, choice))

    return from_fits(train, rule, rank, shrink=shrink, reg_population=reg_population, reg_by_group=reg_by_group)


def build_attentive_ridge(
    train: Ratings,
    *,
    rank: int = 32,
    shrink: float = 50.0,
    reg_population: float = 60.0,
    reg_by_group: bool = False,
    key_dim: int = 16,
    sharpness: float = 4.0,
) -> Built:
    """Attentive ridge, from a Gaussian process; candidates look alike at first if the same users rate them."""

    def rule(net: nn.Module) -> Learner:
        keys = Keys(train.num_items, key_dim)
        settings = {"keys": keys, "sharpness": sharpness, **known(train, net)}
        return attentive_ridge(net, objectives.squared_error, **settings)

    return from_fits(train, rule, rank, shrink=shrink, reg_population=reg_population, reg_by_group=reg_by_group)


def build_logistic(train: Ratings, *, rank: int = 32, newton_steps: int = 4) -> Built:
    """Logistic head, from a Gaussian process whose units it shares."""
    low, high = train.levels.tolist()[0], train.levels.tolist()[-1]

    def rule(net: nn.Module) -> Learner:
        return logistic(net, objectives.squared_error, low=low, high=high, steps=newton_steps)

    return from_fits(train, rule, rank)


def build_deep_kernel(
    train: Ratings,
    *,
    rank: int = 32,
    rbf: float = 0.05,
    length: float = 0.3,
    constant: float = 0.01,
    predictive: float = 0.0,
) -> Built:
    """Deep kernel transfer, whose linear kernel is that of a Gaussian process at first."""
    settings = {"rbf": rbf, "length": length, "constant": constant, "predictive": predictive}
    return from_fits(train, lambda net: deep_kernel(net, **settings), rank)


def build_alpaca(train: Ratings, *, rank: int = 32) -> Built:
    """ALPaCA, from a Gaussian process."""
    return from_fits(train, alpaca, rank)


RECIPES: dict[str, Recipe] = {
    "ridge": Recipe(build_ridge, TRUST, start=PROCESS, space=TRUST_SPACE),
    "logistic": Recipe(build_logistic, TRUST, start=PROCESS, space=RANK_SPACE),
    "deep_kernel": Recipe(
        build_deep_kernel,
        TRUST,
        start=PROCESS,
        space=RANK_SPACE
        | {"rbf": Between(0.005, 0.3), "length": Between(0.1, 3.0), "predictive": OneOf((0.0, 0.5, 1.0))},
    ),
    "alpaca": Recipe(build_alpaca, TRUST, start=PROCESS, space=RANK_SPACE),
    "attentive_ridge": Recipe(
        build_attentive_ridge,
        TRUST,
        start=PROCESS,
        space=TRUST_SPACE | {"key_dim": OneOf((8, 16, 32)), "sharpness": Between(2.0, 10.0)},
    ),
}
