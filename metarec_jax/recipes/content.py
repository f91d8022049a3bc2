"""The learner whose prior is made of side features of several kinds."""

import dataclasses
from collections.abc import Collection, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import objectives
from metarec_jax.data.table import Features, Ratings
from metarec_jax.learners.closed_form.multimodal_ridge import RATES, ContentTaste, multimodal_ridge, start
from metarec_jax.learners.wrappers.feature_groups import on_groups
from metarec_jax.learners.wrappers.neighbour_residuals import neighbour_residuals
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.content import ContentEncoder, Span, group_spans
from metarec_jax.models.history import HistoryTerm
from metarec_jax.models.recommender import TasteNet
from metarec_jax.priors.choice import fitted_choice_vectors
from metarec_jax.priors.gp import fitted_gp
from metarec_jax.priors.history import read_history
from metarec_jax.recipes.base import Built, Recipe, example
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.train.config import Config


def build_multimodal_ridge(
    groups: Collection[str] | None,
    train: Ratings,
    *,
    rank: int = 16,
    shrink: float = 100.0,
    reg_population: float = 20.0,
    width: int = 32,
    hide: float = 0.1,
    choice: bool = True,
    share: float = 1.0,
) -> Built:
    """Multimodal ridge on some groups of the features (None: all), from a Gaussian process that weighs each by what
    it tells of new ones, and then all of them by `share`."""
    seen = [span for span in group_spans(train.user_features.names) if groups is None or span.name in groups]
    train = dataclasses.replace(train, user_features=columns_of(train.user_features, seen))
    spans = group_spans(train.user_features.names)
    fitted = fitted_gp(train, rank=rank, shrink=shrink, reg_population=reg_population, reg_by_group=True)
    fitted = fitted | {"population": share * fitted["population"]}
    dim = fitted["phi"].shape[1]
    net = ContentTaste(TasteNet(train.num_items, dim=dim), ContentEncoder(spans, dim, width))
    prior = ChoicePrior(train.num_items, dim) if choice else None
    learner = multimodal_ridge(net, objectives.squared_error, spans=spans, hide=hide, prior=prior)
    params = learner.init(jax.random.key(0), example(train))
    params = start(params, fitted, 0.0, jnp.asarray(train.item_features.values), spans)
    if choice:
        params["prior"] = params["prior"] | {"id_choice": {"table": jnp.asarray(fitted_choice_vectors(train))}}
    return Built(on_groups(learner, seen), params, RATES)


def build_history_ridge(
    train: Ratings,
    *,
    rank: int = 16,
    shrink: float = 100.0,
    reg_population: float = 20.0,
    width: int = 32,
    hide: float = 0.1,
    share: float = 0.5,
    neighbours: int = 100,
    gain: float = 0.6,
    damping: float = 0.5,
    power: float = 2.0,
) -> Built:
    """Multimodal ridge on what is left by the neighbours by content, who say part of what the features do: `share`."""
    process = {"rank": rank, "shrink": shrink, "reg_population": reg_population}
    built = build_multimodal_ridge(None, train, **process, width=width, hide=hide, share=share)
    history = read_history(train, built.method, built.params)
    learner = neighbour_residuals(built.method, HistoryTerm(neighbours, gain, damping, power), history)
    started = learner.init(jax.random.key(0), example(train)) | built.params
    return Built(learner, started, built.rates)


def columns_of(features: Features, spans: Sequence[Span]) -> Features:
    """The features of these groups alone."""
    columns = np.concatenate([np.arange(0), *(np.arange(span.first, span.end) for span in spans)])
    return Features(tuple(features.names[column] for column in columns), features.values[:, columns])


RECIPES: dict[str, Recipe] = {
    "multimodal_ridge": Recipe(
        partial(build_multimodal_ridge, None),
        Config(outer_lr=1e-3, weight_decay=0.3, steps=1500, patience=600),
        start="a Gaussian process",
        space={
            "outer_lr": Between(2e-4, 3e-3),
            "weight_decay": Between(1e-3, 1.0),
            "rank": OneOf((8, 16, 32)),
            "shrink": OneOf((50.0, 100.0, 200.0)),
            "hide": OneOf((0.0, 0.1, 0.3)),
        },
    ),
    "history_ridge": Recipe(
        build_history_ridge,
        Config(outer_lr=1e-3, weight_decay=0.3, steps=1000, patience=600),
        start="a Gaussian process",
        space={
            "outer_lr": Between(2e-4, 3e-3),
            "weight_decay": Between(1e-3, 1.0),
            "rank": OneOf((8, 16, 32)),
            "shrink": OneOf((50.0, 100.0, 200.0)),
            "share": Between(0.2, 1.0),
            "damping": Between(0.1, 3.0),
        },
    ),
}
