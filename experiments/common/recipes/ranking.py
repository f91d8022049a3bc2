"""Learners that rank a whole catalogue from what was liked."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.recipes.base import Built, Recipe, Training, example
from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.set_encoder import set_encoder
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.spaces import Between, OneOf


def build_set_encoder(train: Ratings, *, dim: int = 128, width: int = 256, dropout: float = 0.6) -> Built:
    """Set encoder with the softmax over the catalogue; the biases start at the log of the popularity."""
    learner = set_encoder(SetEncoder(train.num_items, dim, width, dropout), objectives.catalogue_cross_entropy)
    params = learner.init(jax.random.key(0), example(train))
    popularity = np.bincount(train.item, minlength=train.num_items)
    return Built(learner, params | {"id_bias": {"table": jnp.log1p(jnp.float32(popularity))[:, None]}})


RANKING_RECIPES: dict[str, Recipe] = {
    "set_encoder": Recipe(
        build_set_encoder,
        Training(outer_lr=1e-3, weight_decay=1e-4, batch=128, steps=4000, patience=4000),
        space={
            "outer_lr": Between(3e-4, 3e-3),
            "weight_decay": Between(1e-5, 1.0),
            "dim": OneOf((64, 128, 256)),
            "dropout": OneOf((0.3, 0.5, 0.6, 0.7)),
        },
    ),
}
