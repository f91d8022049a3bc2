"""Learners whose adaptation is a linear model of the task, solved exactly."""

import jax

from experiments.common.recipes.base import Built, Recipe, Training, example
from metarec_jax import objectives
from metarec_jax.baselines import gp
from metarec_jax.data.table import Ratings
from metarec_jax.learners.ridge import from_gaussian_process, ridge
from metarec_jax.models.recommender import ChoicePrior, TasteNet
from metarec_jax.spaces import Between, OneOf


def build_ridge(
    train: Ratings, *, rank: int = 32, em_steps: int = 1, gp_start: bool = True, choice_rate: float = 20.0
) -> Built:
    """Ridge head, by default from a fitted Gaussian process, with a prior mean from which items were rated.

    `choice_rate` 0 leaves that prior out; `rank` and `em_steps` are the process's.
    """
    fitted = gp.fit(train, rank=rank, em_steps=em_steps) if gp_start else None
    dim = fitted["phi"].shape[1] if fitted else rank
    mean = float(train.rating.mean())
    prior = ChoicePrior(train.num_items, dim, choice_rate) if choice_rate > 0 else None
    learner = ridge(TasteNet(train.num_items, mean, dim), objectives.squared_error, prior=prior)
    if fitted is None:
        return Built(learner)
    params = jax.jit(learner.init)(jax.random.key(0), example(train))  # all but the choice prior is replaced
    return Built(learner, from_gaussian_process(params, fitted, mean))


FROM_GP = Training(outer_lr=1e-4, steps=3000, patience=1000)
RECIPES: dict[str, Recipe] = {
    "ridge": Recipe(
        build_ridge,
        FROM_GP,
        space={"outer_lr": Between(2e-5, 1e-3), "rank": OneOf((16, 32, 48)), "choice_rate": Between(2.0, 60.0)},
    ),
}
