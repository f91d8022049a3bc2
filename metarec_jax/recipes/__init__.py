"""The methods by name: how each is built for a ratings table, how it is trained or chosen, and where tuning looks.

One file a family. `RECIPES["maml"]` and `recipes.maml()` are the same; `recipes.maml(inner_lr=0.1)` has another
default. A hyper-parameter is a keyword of the builder or a field of `train.config.Config`.
"""

from functools import partial
from typing import Any

from metarec_jax.recipes import amortised, baselines, closed_form, content, gradient, items, metric, ranking
from metarec_jax.recipes.base import Built, Recipe, Stage, classical, hyperparameters, in_standard_units, named
from metarec_jax.recipes.space import Between, OneOf, grid

_FAMILIES = metric.RECIPES | gradient.RECIPES | closed_form.RECIPES | amortised.RECIPES
_LEARNERS = {name: in_standard_units(recipe) for name, recipe in _FAMILIES.items()}
_OF_ITEMS = {name: in_standard_units(recipe) for name, recipe in (content.RECIPES | items.RECIPES).items()}
# Of tables whose tasks are users.
RECIPES: dict[str, Recipe] = named(baselines.RATING | _LEARNERS)
# Of tables whose tasks are items, the side features of which say more than those of users.
_RIDGES = {
    name: _LEARNERS[name]._replace(build=partial(_LEARNERS[name].build, reg_population=items.REG_POPULATION))
    for name in ("ridge", "attentive_ridge")
}
ITEM_RECIPES: dict[str, Recipe] = named(baselines.ITEM | _LEARNERS | _RIDGES | _OF_ITEMS)
# Of ranking a whole catalogue.
RANKING_RECIPES: dict[str, Recipe] = named(baselines.RANKING | ranking.RECIPES)
_BY_NAME = RANKING_RECIPES | ITEM_RECIPES | RECIPES


def __getattr__(name: str) -> Any:
    """`recipes.maml(inner_lr=0.1)`: a recipe by its name."""
    if name in _BY_NAME:
        return _BY_NAME[name].configured
    raise AttributeError(f"there is no recipe {name!r}; there are {', '.join(_BY_NAME)}.")


def __dir__() -> list[str]:
    return [*globals(), *_BY_NAME]


__all__ = [
    "ITEM_RECIPES",
    "RANKING_RECIPES",
    "RECIPES",
    "Between",
    "Built",
    "OneOf",
    "Recipe",
    "Stage",
    "classical",
    "grid",
    "hyperparameters",
    "in_standard_units",
]
