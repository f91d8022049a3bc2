"""The learner whose prior is made of side features of several kinds."""

import jax

from experiments.common.recipes.base import Built, Recipe, Training, example
from experiments.common.recipes.closed_form import choices, fitted_process, with_choice
from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.multimodal_ridge import RATES, ContentTaste, multimodal_ridge, start
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.content import ContentEncoder, group_spans
from metarec_jax.models.recommender import TasteNet
from metarec_jax.spaces import Between, OneOf


def build_multimodal_ridge(
    train: Ratings,
    *,
    rank: int = 16,
    shrink: float = 100.0,
    reg_population: float = 20.0,
    width: int = 32,
    hide: float = 0.1,
    choice: bool = True,
) -> Built:
    """Multimodal ridge, from a Gaussian process that weighs the groups of features by their evidence."""
    spans, mean = group_spans(train.user_features.names), float(train.rating.mean())
    fitted = fitted_process(train, rank=rank, shrink=shrink, reg_population=reg_population, reg_by_group=True)
    dim = fitted["phi"].shape[1]
    net = ContentTaste(TasteNet(train.num_items, mean, dim), ContentEncoder(spans, dim, width))
    prior = ChoicePrior(train.num_items, dim) if choice else None
    learner = multimodal_ridge(net, objectives.squared_error, spans=spans, hide=hide, prior=prior)
    params = learner.init(jax.random.key(0), example(train))
    built = Built(learner, start(params, fitted, mean, spans), RATES if choice else {"net": 1.0, "log_noise": 1.0})
    return with_choice(built, choices(train)) if choice else built


RECIPES: dict[str, Recipe] = {
    "multimodal_ridge": Recipe(
        build_multimodal_ridge,
        Training(outer_lr=1e-3, weight_decay=0.3, steps=1500, patience=600),
        space={
            "outer_lr": Between(2e-4, 3e-3),
            "weight_decay": Between(1e-3, 1.0),
            "rank": OneOf((8, 16, 32)),
            "shrink": OneOf((50.0, 100.0, 200.0)),
            "hide": OneOf((0.0, 0.1, 0.3)),
        },
    ),
}
