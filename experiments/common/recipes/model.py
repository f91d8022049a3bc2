"""Learners that read the support set with a network."""

from experiments.common.recipes.base import Recipe

RECIPES: dict[str, Recipe] = {}
