"""What a recipe is: how a learner is built for a ratings table, trained, and where its settings are looked for."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.eval.grid_search import fit_defaults
from metarec_jax.learners.wrappers.standardised import standardised, standardised_baseline, units_of, with_units
from metarec_jax.models.recommender import RatingNet
from metarec_jax.recipes.space import Between, Space
from metarec_jax.train.config import Config
from metarec_jax.train.cross_fit import Start
from metarec_jax.types import Baseline, Episode, Examples, Inputs, Learner, Params


class Built(NamedTuple):
    """A method for one training table: a learner that is still to be trained, or a classical method that is fitted."""

    method: Learner | Baseline
    params: Params | None = None  # where training starts, or what was fitted; None: at random
    rates: dict[str, float] | None = None  # see `optimisers.adam`
    start: Start | None = None  # None: training starts from `params`, and all of them are learnt


class Stage(NamedTuple):
    """A part of a training, on a table of its own."""

    table: str = "train"  # of the fold
    steps: Callable[[Config], int] = lambda config: config.steps
    keep_last: bool = False  # whether its last parameters count, and not those of the best validation value


OUTER_SPACE: Space = {"outer_lr": Between(2e-4, 5e-3), "weight_decay": Between(1e-5, 1e-1)}
ONE_STAGE = (Stage(),)


class Recipe(NamedTuple):
    """How a method is built and trained by default, and where better settings may be found."""

    # (train: Ratings, **hyper-parameters) -> Built; with more than one stage (train, steps, earlier, **the same): steps
    # of the stage, and the parameters of the one before it.
    build: Callable[..., Built]
    training: Config | None = Config()  # None: a classical method, which is fitted and not trained
    kind: str = "learner"  # or "baseline": a classical method, or a control that is trained like a learner
    space: Space = OUTER_SPACE  # of keywords of `build` and fields of `training`
    stages: tuple[Stage, ...] = ONE_STAGE
    grid: tuple[dict[str, Any], ...] = ({},)  # of a classical method: what validation tasks choose among at every K
    output: str = "rating"  # or "score", whose order alone means something, or "class"
    start: str = "random weights"  # what training starts from, for people
    transductive: bool = False  # whether the prediction for a query depends on the other queries
    name: str = ""  # in tables
    changes: tuple[tuple[str, Any], ...] = ()  # of the defaults

    def configured(self, **changes: Any) -> "Recipe":
        """The recipe with other defaults; of a classical method with these settings instead of its grid.

        Raises:
          ValueError: an unknown setting, or a wrong value.
        """
        if self.training is None:
            known = fit_defaults(self.baseline)
            for key in changes:
                if key not in known:
                    raise ValueError(f"{self.name} has no {key!r}; it has {', '.join(known) or 'none'}.")
            return self._replace(grid=(changes,)) if changes else self
        hyperparameters(self, dict(self.changes) | changes)
        return self._replace(changes=tuple((dict(self.changes) | changes).items()))

    @property
    def baseline(self) -> Baseline:
        """The classical method itself."""
        return self.build.args[0]


def classical(baseline: Baseline, grid: Sequence[dict[str, Any]], space: Space | None = None) -> Recipe:
    """The recipe of a classical method: its grid, and the space that tuning looks in, which holds the grid.

    One that predicts ratings is fitted in standard units, as learners are. Scores do not depend on the unit.
    """
    if baseline.output == "rating":
        baseline = standardised_baseline(baseline)
    build = partial(_fitted, baseline)
    return Recipe(build, None, "baseline", space or {}, grid=tuple(grid), output=baseline.output)


def _fitted(baseline: Baseline, train: Any, **settings: Any) -> Built:
    return Built(baseline, baseline.fit(train, **settings))


def in_standard_units(recipe: Recipe) -> Recipe:
    """The recipe of the same learner of ratings, whose losses and rates are in units of the training ratings' deviation
    (`learners.wrappers.standardised`)."""

    @functools.wraps(recipe.build)
    def build(train: Ratings, **settings: Any) -> Built:
        built, units = recipe.build(train.standardised, **settings), units_of(train)
        params = None if built.params is None else with_units(built.params, units)
        start = built.start and built.start._replace(
            apart=lambda: [with_units(params, units) for params in built.start.apart()]
        )
        return built._replace(method=standardised(built.method, units), params=params, start=start)

    return recipe._replace(build=build)


def named(recipes: dict[str, Recipe]) -> dict[str, Recipe]:
    """The same recipes, each of which knows its name."""
    return {name: recipe._replace(name=name) for name, recipe in recipes.items()}


def rating_net(train: Ratings, id_dim: int, width: int, **parts: Any) -> RatingNet:
    """The network of the learners that adapt a network: two layers of `width`."""
    return RatingNet(train.num_items, id_dim=id_dim, hidden=(width, width), **parts)


def example(train: Ratings) -> Episode:
    """One made-up task, for the shapes of x."""
    content, context = train.item_features.values, train.user_features.values
    x = Inputs(jnp.zeros(1, jnp.int32), jnp.zeros((1, content.shape[1])), jnp.zeros(context.shape[1]))
    examples = Examples(x, jnp.zeros(1), jnp.ones(1))
    return Episode(examples, examples)


def hyperparameters(recipe: Recipe, changes: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], Config]:
    """Keywords of the builder and the training settings of a method that is trained, with the recipe's own changes and
    then `changes` (key -> value, or text of one) applied.

    Raises:
      ValueError: an unknown key, a value that does not read as the type of its default, or a number out of bounds.
    """
    parameters = inspect.signature(recipe.build).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
    outer = dataclasses.asdict(recipe.training)
    for key, value in (dict(recipe.changes) | dict(changes or {})).items():
        target = own if key in own else outer
        if key not in target:
            raise ValueError(f"{recipe.name} has no {key!r}; it has {', '.join([*own, *outer])}.")
        target[key] = read(value, type(target[key]), f"{recipe.name}.{key}")
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
