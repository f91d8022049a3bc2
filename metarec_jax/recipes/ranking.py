"""Learners that rank a whole catalogue from what was liked."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.ranking.neighbour_encoder import neighbour_encoder
from metarec_jax.learners.ranking.set_encoder import set_encoder
from metarec_jax.models.neighbours import Votes
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.priors.ease import ease_start
from metarec_jax.priors.neighbours import count_neighbours
from metarec_jax.priors.statistics import rating_matrix
from metarec_jax.recipes.base import Built, Recipe, Stage, example
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.train.config import Config
from metarec_jax.types import Array, Params


@dataclasses.dataclass(frozen=True)
class RankingConfig(Config):
    """Hyper-parameters of the outer loop of learners that rank.

    Raises:
      ValueError: `rated` leaves no step for what was liked.
    """

    rated: float = 0.5  # share of the steps that come first and are on whatever was rated, liked or not

    def __post_init__(self) -> None:
        if self.rated >= 1.0:
            raise ValueError(f"rated={self.rated:g} leaves no step for what was liked; give a share below 1.")

    def parts(self) -> tuple[int, int]:
        """The steps on what was rated, and after them on what was liked."""
        first = min(round(self.rated * self.steps), self.steps - 1)
        return first, self.steps - first


def build_set_encoder(
    train: Ratings,
    steps: int,
    earlier: Params | None,
    *,
    dim: int = 128,
    width: int = 256,
    dropout: float = 0.5,
    reg: float = 0.5,
) -> Built:
    """Set encoder with the softmax over the catalogue, from EASE with a penalty of `reg` times the number of users, or
    from the parameters of an `earlier` stage on another table."""
    del steps  # nothing changes in the course of training
    net = SetEncoder(train.num_items, dim, width, dropout)
    learner = set_encoder(net, log_popularity(train), objectives.catalogue_cross_entropy)
    params = learner.init(jax.random.key(0), example(train))
    if earlier is not None:
        return Built(learner, going_on(earlier, params))
    return Built(learner, params | {"net": params["net"] | ease_start(params["net"], train, reg * train.num_users)})


def build_neighbour_encoder(
    train: Ratings,
    steps: int,
    earlier: Params | None,
    *,
    dim: int = 128,
    width: int = 256,
    dropout: float = 0.5,
    reg: float = 0.5,
    share: float = 1.0,
    neighbours: int = 1000,
    discount: float = 0.5,
    votes_rate: float = 40.0,
    pairs: float = 3.0,
    alone: float = 0.7,
) -> Built:
    """Set encoder beside the votes of `neighbours` an item, for the pairs that decide nDCG@10.

    Starts as above, with EASE's tables times `share`. The few numbers of the votes learn `votes_rate` times
    faster. The votes are let in after the share `alone` of the steps; `pairs`: see `objectives.catalogue_ndcg`.

    Raises:
      ValueError: `alone` leaves no step for the votes.
    """
    if alone >= 1.0:
        raise ValueError(f"neighbour_encoder.alone={alone:g} leaves no step for the votes; give a share below 1.")
    lists = count_neighbours(rating_matrix(train), neighbours, discount)
    net = SetEncoder(train.num_items, dim, width, dropout)
    objective = partial(objectives.catalogue_ndcg, pairs=pairs)
    learner = neighbour_encoder(net, Votes(), lists, objective, alone=round(alone * steps))
    params = learner.init(jax.random.key(0), example(train))
    if earlier is not None:
        return Built(learner, going_on(earlier, params), {"votes": votes_rate})
    start = ease_start(params["net"], train, reg * train.num_users)
    shrunk = {name: {"table": share * part["table"]} for name, part in start.items()}
    return Built(learner, params | {"net": params["net"] | shrunk}, {"votes": votes_rate})


def going_on(earlier: Params, params: Params) -> Params:
    """What an earlier stage learnt, beside what was counted on this stage's table."""
    return join_fixed(split_fixed(earlier)[0], split_fixed(params)[1])


def log_popularity(train: Ratings) -> Array:
    """[I] log of one more than the number of training users who like the item: the best score of a stranger's."""
    return jnp.log1p(jnp.float32(np.bincount(train.item, minlength=train.num_items)))


# First on whatever was rated, liked or not; its last parameters count, as validation users ask about something else.
RATED_FIRST = (
    Stage("rated", lambda config: config.parts()[0], keep_last=True),
    Stage("train", lambda config: config.parts()[1]),
)
RECIPES: dict[str, Recipe] = {
    "set_encoder": Recipe(
        build_set_encoder,
        RankingConfig(outer_lr=1e-3, weight_decay=1e-4, batch=128, steps=20000, patience=20000),
        space={
            "outer_lr": Between(3e-4, 3e-3),
            "weight_decay": Between(1e-5, 1.0),
            "dim": OneOf((64, 128, 256)),
            "dropout": OneOf((0.3, 0.5, 0.6, 0.7)),
            "reg": Between(0.1, 10.0),
        },
        stages=RATED_FIRST,
        output="score",
        start="EASE",
    ),
    "neighbour_encoder": Recipe(
        build_neighbour_encoder,
        RankingConfig(outer_lr=1e-3, weight_decay=1e-4, batch=128, steps=20000, patience=20000),
        space={
            "outer_lr": Between(3e-4, 3e-3),
            "dropout": OneOf((0.5, 0.6, 0.7, 0.8)),
            "reg": Between(0.5, 10.0),
            "share": Between(0.1, 1.0),
            "neighbours": OneOf((200, 500, 1000)),
            "discount": Between(0.01, 1.0),
        },
        stages=RATED_FIRST,
        output="score",
        start="EASE",
    ),
}
