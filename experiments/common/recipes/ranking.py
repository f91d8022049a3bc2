"""Learners that rank a whole catalogue from what was liked."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from experiments.common.recipes.base import Built, Recipe, Training, example
from metarec_jax import objectives
from metarec_jax.baselines import ease
from metarec_jax.data.table import Ratings
from metarec_jax.learners.set_encoder import set_encoder
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.spaces import Between, OneOf
from metarec_jax.types import Params

LOGITS = 0.025  # of a score of EASE, times its penalty: from where the softmax neither ignores nor shouts


def build_set_encoder(
    train: Ratings, *, dim: int = 128, width: int = 256, dropout: float = 0.6, reg: float = 2.0
) -> Built:
    """Set encoder with the softmax over the catalogue, from EASE with a penalty of `reg` times the number of users."""
    learner = set_encoder(SetEncoder(train.num_items, dim, width, dropout), objectives.catalogue_cross_entropy)
    params = learner.init(jax.random.key(0), example(train))
    return Built(learner, params | ease_start(params, train, reg * train.num_users))


def ease_start(params: Params, train: Ratings, reg: float) -> Params:
    """The tables of a set encoder whose scores are the log of the popularity and those of EASE, as far as the vectors'
    length allows (a truncated singular value decomposition of its weights)."""
    weights = np.asarray(ease.fitted_weights(train, reg, True))
    rank = min(params["id_known"]["table"].shape[1], train.num_items - 1)
    left, values, right = scipy.sparse.linalg.svds(weights, k=rank, random_state=0)
    root = np.sqrt(LOGITS * reg * values)
    tables = {"id_known": left * root, "id_sought": right.T * root}
    start = {name: {"table": params[name]["table"].at[:, :rank].set(table)} for name, table in tables.items()}
    popularity = np.bincount(train.item, minlength=train.num_items)
    return start | {"id_bias": {"table": jnp.log1p(jnp.float32(popularity))[:, None]}}


RANKING_RECIPES: dict[str, Recipe] = {
    "set_encoder": Recipe(
        build_set_encoder,
        Training(outer_lr=1e-3, weight_decay=1e-4, batch=128, steps=6000, patience=6000),
        space={
            "outer_lr": Between(3e-4, 3e-3),
            "weight_decay": Between(1e-5, 1.0),
            "dim": OneOf((64, 128, 256)),
            "dropout": OneOf((0.3, 0.5, 0.6, 0.7)),
            "reg": Between(0.5, 10.0),
        },
    ),
}
