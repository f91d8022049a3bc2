"""The benchmark of content: what each kind of it is worth for an item with few raters or none.

Multimodal ridge on item cold start, of all kinds, each alone, all but one, and none.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from metarec_jax.benchmarks.base import Benchmark
from metarec_jax.benchmarks.ratings import item_cold_start
from metarec_jax.eval.grid_search import Shots
from metarec_jax.recipes import ITEM_RECIPES, Recipe
from metarec_jax.recipes.base import in_standard_units, named
from metarec_jax.recipes.content import build_multimodal_ridge


def content_ablation(
    modalities: Mapping[str, Collection[str]], shots: Sequence[Shots] = (0, 1, 5), **protocol: Any
) -> Benchmark:
    """Item cold start, answered by multimodal ridge with some of the kinds of content each; "all_content" is what the
    others are compared with.

    Args:
      modalities: kind -> its groups of item features.
      shots, **protocol: as of `ratings.item_cold_start`.

    Raises:
      ValueError: fewer than two kinds.
    """
    recipes = variants(modalities)
    learners = tuple(name for name, recipe in recipes.items() if recipe.kind == "learner")
    benchmark = item_cold_start(shots, **protocol)
    return benchmark._replace(name="content_ablation", recipes=recipes, default=learners)


def variants(modalities: Mapping[str, Collection[str]]) -> dict[str, Recipe]:
    """A recipe for every subset of the kinds of content that is asked about.

    Args:
      modalities: kind -> its groups of features.

    Raises:
      ValueError: fewer than two kinds.
    """
    if len(modalities) < 2:
        raise ValueError("content: name two kinds of item features or more, for example genre+year,title.")

    def recipe(kinds: Collection[str], kind: str = "learner") -> Recipe:
        groups = [group for name in kinds for group in modalities[name]]
        recipe = ITEM_RECIPES["multimodal_ridge"]._replace(build=partial(build_multimodal_ridge, groups), kind=kind)
        return in_standard_units(recipe)

    recipes = {"all_content": recipe(modalities, "baseline"), "no_content": recipe(())}
    recipes |= {f"only_{name}": recipe([name]) for name in modalities}
    if len(modalities) > 2:  # else all but one is the other alone
        recipes |= {f"without_{name}": recipe([other for other in modalities if other != name]) for name in modalities}
    return named(recipes)
