"""Standard units: any learner of ratings, on ratings less their mean, over their standard deviation.

Both are those of the training table and data under `params.FIXED`. So losses, rates and initial variances of a learner
mean the same whatever the unit of the ratings, and one compiled program serves all tables of one shape.
"""

from typing import NamedTuple

import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.params import FIXED, join_fixed, split_fixed
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


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

    def inner(params: Params) -> Params:
        learnt, fixed = split_fixed(params)
        own = fixed[FIXED]["learner"]
        return join_fixed(learnt, {} if own is None else {FIXED: own})

    def in_units(examples: Examples, units: Units) -> Examples:
        return examples._replace(y=(examples.y - units.mean) / units.scale)

    def init(key: Array, episode: Episode) -> Params:
        return with_units(learner.init(key, Episode(*(in_units(part, units) for part in episode))), units)

    def adapt(params: Params, support: Examples) -> Fast:
        own = params[FIXED]["units"]
        return {"fast": learner.adapt(inner(params), in_units(support, own)), "units": own}

    def predict(fast: Fast, x) -> Array:
        return fast["units"].mean + fast["units"].scale * learner.predict(fast["fast"], x)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        own = params[FIXED]["units"]
        return learner.loss(inner(params), Episode(*(in_units(part, own) for part in episode)), key, step)

    def variance(fast: Fast, x) -> Array:
        return jnp.square(fast["units"].scale) * learner.variance(fast["fast"], x)

    def update(fast: Fast, new: Examples) -> Fast:
        return fast | {"fast": learner.update(fast["fast"], in_units(new, fast["units"]))}

    def forget(fast: Fast, fraction: Array) -> Fast:
        return fast | {"fast": learner.forget(fast["fast"], fraction)}

    own = {"variance": variance, "update": update, "forget": forget}
    return Learner(
        init, adapt, predict, loss, **{name: rule for name, rule in own.items() if getattr(learner, name) is not None}
    )
