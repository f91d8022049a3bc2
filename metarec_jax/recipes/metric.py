"""Learners that compare with the support set."""

from metarec_jax import objectives
from metarec_jax.data.table import Ratings
from metarec_jax.learners.metric.lwa import lwa
from metarec_jax.learners.metric.matching import matching_ratings
from metarec_jax.learners.metric.nlba import nlba
from metarec_jax.learners.metric.protonet import protonet_ratings
from metarec_jax.learners.metric.relation import Comparator, relation_ratings
from metarec_jax.learners.metric.taste_prototypes import taste_prototypes
from metarec_jax.models.recommender import Encoder, TasteNet
from metarec_jax.models.trust import TrustedTaste
from metarec_jax.recipes.base import OUTER_SPACE, Built, Recipe
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.recipes.start import PROCESS, TRUST, TRUST_SPACE, from_fits, known
from metarec_jax.train.config import Config
from metarec_jax.types import Learner


def build_protonet(
    train: Ratings,
    *,
    rounds: int = 2,
    rank: int = 32,
    shrink: float = 50.0,
    reg_population: float = 60.0,
    choice: bool = True,
) -> Built:
    """Prototypes of a taste, from a Gaussian process, with a prior mean from which items were rated unless `choice` is
    false."""

    def rule(net: TrustedTaste) -> Learner:
        return taste_prototypes(net, objectives.squared_error, rounds=rounds, **known(train, net, choice))

    return from_fits(train, rule, rank, shrink=shrink, reg_population=reg_population)


def build_protonet_levels(train: Ratings, *, id_dim: int = 32, width: int = 64, prior_count: float = 3.0) -> Built:
    """Prototypes of rating levels."""
    net = Encoder(train.num_items, id_dim, hidden=(width, width))
    levels = tuple(train.levels.tolist())
    return Built(protonet_ratings(net, objectives.squared_error, levels=levels, prior_count=prior_count))


def build_matching(
    train: Ratings, *, dim: int = 32, temperature: float = 0.5, null_count: float = 300.0, bias_count: float = 10.0
) -> Built:
    """Attention over the residuals of the support."""
    settings = {"temperature": temperature, "null_count": null_count, "bias_count": bias_count}
    return Built(matching_ratings(taste_net(train, dim), objectives.squared_error, **settings))


def build_relation(train: Ratings, *, dim: int = 32, width: int = 32, prior_count: float = 3.0) -> Built:
    """A learnt comparison with prototypes of rating levels."""
    net, levels = taste_net(train, dim), tuple(train.levels.tolist())
    comparator = Comparator((width,))
    return Built(relation_ratings(net, comparator, objectives.squared_error, levels=levels, prior_count=prior_count))


def build_lwa(train: Ratings, *, dim: int = 32, prior_count: float = 5.0) -> Built:
    """Linear weights from what is liked and disliked."""
    return Built(lwa(taste_net(train, dim), objectives.squared_error, prior_count=prior_count))


def build_nlba(train: Ratings, *, dim: int = 32, width: int = 64, prior_count: float = 5.0) -> Built:
    """Biases of a network from what is liked and disliked."""
    return Built(nlba(taste_net(train, dim), objectives.squared_error, hidden=width, prior_count=prior_count))


def taste_net(train: Ratings, dim: int) -> TasteNet:
    """The network of those that correct a prior mean, from `dim` features."""
    return TasteNet(train.num_items, dim=dim)


DECAYED = Config(weight_decay=0.5)
SPACE = OUTER_SPACE | {"weight_decay": Between(1e-3, 2.0), "dim": OneOf((16, 32, 64))}
COUNT_SPACE = SPACE | {"prior_count": Between(0.5, 20.0)}
RECIPES: dict[str, Recipe] = {
    "protonet": Recipe(build_protonet, TRUST, start=PROCESS, space=TRUST_SPACE | {"rounds": Between(1, 5)}),
    "protonet_levels": Recipe(build_protonet_levels, space=OUTER_SPACE | {"prior_count": Between(0.5, 20.0)}),
    "matching": Recipe(
        build_matching,
        DECAYED,
        space=SPACE
        | {
            "temperature": Between(0.1, 2.0),
            "null_count": Between(20.0, 2000.0),
            "bias_count": Between(2.0, 20.0),
        },
    ),
    "relation": Recipe(build_relation, DECAYED, space=COUNT_SPACE | {"width": OneOf((16, 32, 64))}),
    "lwa": Recipe(build_lwa, DECAYED, space=COUNT_SPACE),
    "nlba": Recipe(build_nlba, DECAYED, space=COUNT_SPACE | {"width": OneOf((32, 64, 128))}),
}
