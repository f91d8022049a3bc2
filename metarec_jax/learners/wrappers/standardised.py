"""Standard units: any method of ratings, on ratings less their mean, over their standard deviation.

Both are those of the training table and data under `params.FIXED`. So losses, rates, penalties and initial variances
mean the same whatever the unit of the ratings, and one compiled program serves all tables of one shape.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.params import FIXED, join_fixed, split_fixed
from metarec_jax.types import Array, Baseline, Episode, Examples, Fast, Learner, Metrics, Params


class Units(NamedTuple):
    """What a rating of 0 and a difference of 1 are in standard units."""

    mean: Array  # []
    scale: Array  # []


def units_of(train: Ratings) -> Units:
    """The units in which `train.standardised` is."""
    return Units(*map(jnp.float32, train.units))


def with_units(params: Params, units: Units) -> Params:
    """The parameters of `standardised(learner, units)` from those of the learner."""
    learnt, fixed = split_fixed(params)
    return join_fixed(learnt, {FIXED: {"units": units, "learner": fixed.get(FIXED)}})


def standardised(learner: Learner, units: Units) -> Learner:
    """The learner on standardised ratings; its predictions and variances are in rating units, its loss is not.

    Args:
      learner: of ratings.
      units: for `init`; everything else reads them from the parameters.
    """

    def init(key: Array, episode: Episode) -> Params:
        return with_units(learner.init(key, Episode(*(_in_units(part, units) for part in episode))), units)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        own = params[FIXED]["units"]
        return learner.loss(_inner(params), Episode(*(_in_units(part, own) for part in episode)), key, step)

    def variance(fast: Fast, x: Any) -> Array:
        return jnp.square(fast["units"].scale) * learner.variance(fast["fast"], x)

    return Learner(init, loss=loss, variance=learner.variance and variance, **_rules(learner))


def standardised_baseline(baseline: Baseline) -> Baseline:
    """The classical method, fitted to standardised ratings; its predictions are in rating units."""

    @functools.wraps(baseline.fit)
    def fit(train: Ratings, **settings: Any) -> Params:
        return with_units(baseline.fit(train.standardised, **settings), units_of(train))

    return Baseline(fit, **_rules(baseline))


def _rules(method: Learner | Baseline) -> dict[str, Callable | None]:
    """What both kinds of methods do with one task."""

    def adapt(params: Params, support: Examples) -> Fast:
        own = params[FIXED]["units"]
        return {"fast": method.adapt(_inner(params), _in_units(support, own)), "units": own}

    def predict(fast: Fast, x: Any) -> Array:
        return fast["units"].mean + fast["units"].scale * method.predict(fast["fast"], x)

    def update(fast: Fast, new: Examples) -> Fast:
        return fast | {"fast": method.update(fast["fast"], _in_units(new, fast["units"]))}

    def forget(fast: Fast, fraction: Array) -> Fast:
        return fast | {"fast": method.forget(fast["fast"], fraction)}

    own = {"update": method.update and update, "forget": method.forget and forget}
    return {"adapt": adapt, "predict": predict} | own


def _inner(params: Params) -> Params:
    """The method's own parameters."""
    learnt, fixed = split_fixed(params)
    own = fixed[FIXED]["learner"]
    return join_fixed(learnt, {} if own is None else {FIXED: own})


def _in_units(examples: Examples, units: Units) -> Examples:
    return examples._replace(y=(examples.y - units.mean) / units.scale)
