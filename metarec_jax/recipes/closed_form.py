"""Learners whose adaptation is a linear model of the task, solved exactly."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.learners.closed_form.attentive_ridge import RATES, Keys, attentive_ridge
from metarec_jax.learners.closed_form.deep_kernel import deep_kernel
from metarec_jax.learners.closed_form.logistic import logistic
from metarec_jax.learners.closed_form.ridge import ItemNoise, from_gaussian_process, ridge
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.recommender import TasteNet
from metarec_jax.priors.choice import CHOICE_DIM, fitted_choice_vectors
from metarec_jax.priors.gp import fitted_gp, fitted_noise
from metarec_jax.recipes.base import Built, Recipe, example
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.train.config import Config
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

    def rule(net: TasteNet) -> Learner:
        return ridge(net, objectives.squared_error, prior=ChoicePrior(net.num_ids, net.dim) if choice else None)

    process = {"shrink": shrink, "reg_population": reg_population, "reg_by_group": reg_by_group}
    built = start_from_gp(train, rule, rank, **process)
    return with_choice(built, fitted_choice_vectors(train)) if choice else built


def build_attentive_ridge(
    train: Ratings,
    *,
    rank: int = 32,
    shrink: float = 100.0,
    reg_population: float = 60.0,
    reg_by_group: bool = False,
    key_dim: int = 16,
    sharpness: float = 4.0,
) -> Built:
    """Attentive ridge, from a Gaussian process; candidates look alike at first if the same users rate them."""

    def rule(net: TasteNet) -> Learner:
        keys, prior, item_noise = Keys(net.num_ids, key_dim), ChoicePrior(net.num_ids, net.dim), ItemNoise(net.num_ids)
        return attentive_ridge(
            net, objectives.squared_error, keys=keys, prior=prior, item_noise=item_noise, sharpness=sharpness
        )

    process = {"rank": rank, "shrink": shrink, "reg_population": reg_population, "reg_by_group": reg_by_group}
    vectors = fitted_choice_vectors(train)
    built = with_choice(start_from_gp(train, rule, **process), vectors)
    mix = jax.random.normal(jax.random.key(0), (CHOICE_DIM, key_dim)) / CHOICE_DIM**0.5
    attention = built.params["attention"]
    keys = attention["keys"] | {"id_key": {"table": vectors[:, :CHOICE_DIM] @ mix}}
    item_noise = {"id_item_noise": {"table": jnp.log(fitted_noise(train, **process))[:, None]}}
    params = built.params | {"attention": attention | {"keys": keys}, "item_noise": item_noise}
    return built._replace(params=params, rates=RATES)


def with_choice(built: Built, vectors: np.ndarray) -> Built:
    """The same with a choice prior that starts from these vectors [I, width]."""
    prior = built.params["prior"] | {"id_choice": {"table": jnp.asarray(vectors)}}
    return built._replace(params=built.params | {"prior": prior})


def start_from_gp(train: Ratings, rule: Callable[[TasteNet], Learner], rank: int, **settings: float) -> Built:
    """`rule` on a taste network that starts as a Gaussian process fitted to `train` with these settings."""
    fitted = fitted_gp(train, rank=rank, **settings)
    learner = rule(TasteNet(train.num_items, dim=fitted["phi"].shape[1]))
    params = learner.init(jax.random.key(0), example(train))  # the parts that the process does not have stay
    content = jnp.asarray(train.item_features.values)
    return Built(learner, from_gaussian_process(params, fitted, 0.0, content))


def build_logistic(train: Ratings, *, rank: int = 32, newton_steps: int = 4) -> Built:
    """Logistic head, from a Gaussian process whose units it shares."""
    low, high = train.levels.tolist()[0], train.levels.tolist()[-1]

    def rule(net: TasteNet) -> Learner:
        return logistic(net, objectives.squared_error, low=low, high=high, steps=newton_steps)

    return start_from_gp(train, rule, rank)


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
    return start_from_gp(train, lambda net: deep_kernel(net, **settings), rank)


def build_alpaca(train: Ratings, *, rank: int = 32) -> Built:
    """ALPaCA, from a Gaussian process."""
    return start_from_gp(train, alpaca, rank)


FROM_GP = Config(outer_lr=1e-4, steps=3000, patience=1000)
FROM_GP_SHORT = Config(outer_lr=1e-4, batch=32, steps=1500, patience=600)
GP_SPACE = {"outer_lr": Between(2e-5, 1e-3), "rank": OneOf((16, 32, 48))}
RECIPES: dict[str, Recipe] = {
    "ridge": Recipe(
        build_ridge,
        FROM_GP,
        space=GP_SPACE | {"shrink": OneOf((30.0, 50.0, 100.0, 200.0))},
    ),
    "logistic": Recipe(build_logistic, FROM_GP_SHORT, space=GP_SPACE),
    "deep_kernel": Recipe(
        build_deep_kernel,
        FROM_GP_SHORT,
        space=GP_SPACE
        | {"rbf": Between(0.005, 0.3), "length": Between(0.1, 3.0), "predictive": OneOf((0.0, 0.5, 1.0))},
    ),
    "alpaca": Recipe(build_alpaca, FROM_GP_SHORT, space=GP_SPACE),
    "attentive_ridge": Recipe(
        build_attentive_ridge,
        Config(outer_lr=1e-3, weight_decay=0.3, steps=2000, patience=1000),
        space={
            "outer_lr": Between(2e-4, 2e-3),
            "weight_decay": Between(1e-4, 1.0),
            "rank": OneOf((16, 32, 48)),
            "shrink": OneOf((30.0, 50.0, 100.0, 200.0)),
            "key_dim": OneOf((8, 16, 32)),
            "sharpness": Between(2.0, 10.0),
        },
    ),
}
