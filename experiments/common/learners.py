"""The learners by flag name: how each is built for a ratings table, and with which hyper-parameters it is trained.

`--set=NAME.KEY=VALUE` changes one. Keys are the keywords of the builder below and the fields of `Training`.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metarec_jax import objectives
from metarec_jax.baselines import gp
from metarec_jax.data.table import Ratings
from metarec_jax.learners.maml import maml
from metarec_jax.learners.protonet import protonet_ratings
from metarec_jax.learners.ridge import from_gaussian_process, ridge
from metarec_jax.learners.transfer import transfer
from metarec_jax.models.recommender import ChoicePrior, Encoder, RatingNet, TasteNet
from metarec_jax.types import Episode, Examples, Inputs, Learner, Params


@dataclasses.dataclass(frozen=True)
class Training:
    """Hyper-parameters of the outer loop."""

    outer_lr: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 64  # tasks a step
    steps: int = 2000
    patience: int = 800  # steps without a better validation value


class Built(NamedTuple):
    """A learner for one training table, and its starting parameters where they are not random."""

    learner: Learner
    params: Params | None = None


def build_protonet(train: Ratings, *, id_dim: int = 32, width: int = 64, prior_count: float = 3.0) -> Built:
    """Prototypes of rating levels."""
    net = Encoder(train.num_items, id_dim, hidden=(width, width))
    levels = tuple(train.levels.tolist())
    return Built(protonet_ratings(net, objectives.squared_error, levels=levels, prior_count=prior_count))


def build_by_gradient(
    rule: Callable[..., Learner],
    train: Ratings,
    *,
    inner_lr: float = 0.05,
    inner_steps: int = 1,
    prior_count: float = 5.0,
    id_dim: int = 32,
    width: int = 64,
) -> Built:
    """`rule`, which adapts a rating network by gradient steps: MAML, FOMAML, transfer."""
    mean, scale = float(train.rating.mean()), float(train.rating.std())
    net = RatingNet(train.num_items, mean, scale, id_dim=id_dim, hidden=(width, width))
    return Built(rule(net, objectives.squared_error, lr=inner_lr, steps=inner_steps, prior_count=prior_count))


def _example(train: Ratings) -> Episode:
    """One made-up task, for the shapes of x."""
    content, context = train.item_features.values, train.user_features.values
    x = Inputs(jnp.zeros(1, jnp.int32), jnp.zeros((1, content.shape[1])), jnp.zeros((1, context.shape[1])))
    examples = Examples(x, jnp.zeros(1), jnp.ones(1))
    return Episode(examples, examples)


def build_ridge(
    train: Ratings, *, rank: int = 32, em_steps: int = 1, gp_start: bool = True, choice_rate: float = 20.0
) -> Built:
    """Ridge head, by default from a fitted Gaussian process, with a prior mean from which items were rated.

    `choice_rate` 0 leaves that prior out; `rank` and `em_steps` are the process's.
    """
    fitted = gp.fit(train, rank=rank, em_steps=em_steps) if gp_start else None
    dim = fitted["phi"].shape[1] if fitted else rank
    mean = float(train.rating.mean())
    prior = ChoicePrior(train.num_items, dim, choice_rate) if choice_rate > 0 else None
    learner = ridge(TasteNet(train.num_items, mean, dim), objectives.squared_error, prior=prior)
    if fitted is None:
        return Built(learner)
    params = jax.jit(learner.init)(jax.random.key(0), _example(train))  # all but the choice prior is replaced
    return Built(learner, from_gaussian_process(params, fitted, mean))


class Recipe(NamedTuple):
    """How a learner is built and trained by default."""

    build: Callable[..., Built]
    training: Training = Training()
    kind: str = "learner"  # "baseline": a control that is trained like a learner


def hyperparameters(recipe: Recipe, changes: dict[str, str], name: str) -> tuple[dict[str, Any], Training]:
    """Keywords of the builder and the training settings, with `changes` (key -> text) applied.

    Raises:
      ValueError: an unknown key, a text that does not read as the type of its default, or a number out of bounds.
    """
    own = {key: value.default for key, value in inspect.signature(recipe.build).parameters.items() if key != "train"}
    outer = dataclasses.asdict(recipe.training)
    for key, text in changes.items():
        target = own if key in own else outer
        if key not in target:
            raise ValueError(f"--set: {name} has no {key!r}; it has {', '.join([*own, *outer])}.")
        kind = type(target[key])
        try:
            target[key] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise ValueError(f"--set: {name}.{key}={text!r} is not of type {kind.__name__}.") from None
        if kind is int and target[key] < 1 or kind is float and not 0 <= target[key] < math.inf:
            raise ValueError(f"--set: {name}.{key}={text} must be {'at least 1' if kind is int else '0 or above'}.")
    return own, Training(**outer)


RECIPES: dict[str, Recipe] = {
    "transfer": Recipe(partial(build_by_gradient, transfer), kind="baseline"),
    "protonet": Recipe(build_protonet),
    "fomaml": Recipe(partial(build_by_gradient, partial(maml, first_order=True))),
    "maml": Recipe(partial(build_by_gradient, maml)),
    "ridge": Recipe(build_ridge, Training(outer_lr=1e-4, steps=3000, patience=1000)),
}
