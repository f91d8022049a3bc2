"""Learners that compare with the support set."""

from experiments.common.recipes.base import OUTER_SPACE, Built, Recipe
from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.protonet import protonet_ratings
from metarec_jax.models.recommender import Encoder
from metarec_jax.spaces import Between


def build_protonet(train: Ratings, *, id_dim: int = 32, width: int = 64, prior_count: float = 3.0) -> Built:
    """Prototypes of rating levels."""
    net = Encoder(train.num_items, id_dim, hidden=(width, width))
    levels = tuple(train.levels.tolist())
    return Built(protonet_ratings(net, objectives.squared_error, levels=levels, prior_count=prior_count))


RECIPES: dict[str, Recipe] = {
    "protonet": Recipe(build_protonet, space=OUTER_SPACE | {"prior_count": Between(0.5, 20.0)}),
}
