"""What a recipe is: how a learner is built for a ratings table, trained, and where its settings are looked for."""

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.models.recommender import RatingNet
from metarec_jax.recipes.space import Between, Space
from metarec_jax.train.config import Config
from metarec_jax.types import Episode, Examples, Inputs, Learner, Params


class Built(NamedTuple):
    """A learner for one training table, and its starting parameters where they are not random."""

    learner: Learner
    params: Params | None = None
    rates: dict[str, float] | None = None  # see `training.adam`


OUTER_SPACE: Space = {"outer_lr": Between(2e-4, 5e-3), "weight_decay": Between(1e-5, 1e-1)}


class Recipe(NamedTuple):
    """How a learner is built and trained by default, and where better settings may be found."""

    build: Callable[..., Built]  # (train: Ratings, **hyper-parameters); of those that rank (train, steps, earlier, ...)
    training: Config = Config()
    kind: str = "learner"  # "baseline": a control that is trained like a learner
    space: Space = OUTER_SPACE  # of keywords of `build` and fields of `Training`


def rating_net(train: Ratings, id_dim: int, width: int, **parts: Any) -> RatingNet:
    """The network of the learners that adapt a network: two layers of `width` around the table's mean and scale."""
    mean, scale = float(train.rating.mean()), float(train.rating.std())
    return RatingNet(train.num_items, mean, scale, id_dim=id_dim, hidden=(width, width), **parts)


def example(train: Ratings) -> Episode:
    """One made-up task, for the shapes of x."""
    content, context = train.item_features.values, train.user_features.values
    x = Inputs(jnp.zeros(1, jnp.int32), jnp.zeros((1, content.shape[1])), jnp.zeros((1, context.shape[1])))
    examples = Examples(x, jnp.zeros(1), jnp.ones(1))
    return Episode(examples, examples)


def hyperparameters(recipe: Recipe, changes: dict[str, Any], name: str) -> tuple[dict[str, Any], Config]:
    """Keywords of the builder and the training settings, with `changes` (key -> value, or text of one) applied.

    Raises:
      ValueError: an unknown key, a value that does not read as the type of its default, or a number out of bounds.
    """
    parameters = inspect.signature(recipe.build).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
    outer = dataclasses.asdict(recipe.training)
    for key, value in changes.items():
        target = own if key in own else outer
        if key not in target:
            raise ValueError(f"{name} has no {key!r}; it has {', '.join([*own, *outer])}.")
        target[key] = read(value, type(target[key]), f"{name}.{key}")
    return own, type(recipe.training)(**outer)


def read(value: Any, kind: type, label: str) -> Any:
    """A hyper-parameter from text, or from a value out of a file, as its type.

    Raises:
      ValueError: it does not read as `kind`, or is out of bounds: 1 for whole numbers, 0 for others, both included.
    """
    try:
        read = {"true": True, "false": False}[str(value).lower()] if kind is bool else kind(str(value))
    except (ValueError, KeyError):
        raise ValueError(f"{label}={str(value)!r} is not of type {kind.__name__}.") from None
    if kind is int and read < 1 or kind is float and not 0 <= read < math.inf:
        raise ValueError(f"{label}={value} must be {'at least 1' if kind is int else '0 or above'}.")
    return read
