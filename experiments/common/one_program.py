"""Meta-trainings that differ in numbers only, as one compiled program: a trial of tuning compiles nothing.

A learner is built from its hyper-parameters by a pure function, so the numbers among them can be arguments of the
compiled training: it is built INSIDE the program, from tracers. What decides shapes or loops (whole numbers, choices)
stays a Python value, and each combination of those has a program of its own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from experiments.common.jobs import Programs, make_programs
from experiments.common.recipes.base import Built, Recipe, Training
from metarec_jax.chunks import Spread
from metarec_jax.data.table import Ratings
from metarec_jax.spaces import is_real

Settings = dict[str, Any]


class OneProgram:
    """The training of a recipe's learner on one table, for all values of the real numbers in its space."""

    def __init__(self, recipe: Recipe, train: Ratings, sample: Callable):
        self._recipe, self._train, self._sample = recipe, train, sample
        self._numbers = [key for key, where in recipe.space.items() if is_real(where)]
        self._compiled: dict[tuple, Programs] = {}

    def at(self, own: Settings, outer: Training) -> Programs:
        """The programs at these hyper-parameters, from `recipes.base.hyperparameters`."""
        settings = own | vars(outer)
        numbers = {key: settings.pop(key) for key in self._numbers}
        key = tuple(settings.items())
        if key not in self._compiled:
            self._compiled[key] = self._compile(settings, list(own))
        found = self._compiled[key]
        return Programs(partial(found.chunk, numbers), partial(found.errors, numbers))

    def _compile(self, fixed: Settings, own: list[str]) -> Programs:
        def build(numbers: Settings) -> tuple[Built, Training]:
            settings = fixed | numbers
            keywords = {key: settings.pop(key) for key in own}
            return self._recipe.build(self._train, **keywords), Training(**settings)

        def programs(numbers: Settings) -> Programs:
            return make_programs(*build(numbers), self._sample, Spread())

        chunk = jax.jit(lambda numbers, *arguments: programs(numbers).chunk(*arguments), donate_argnums=2)
        return Programs(chunk, jax.jit(lambda numbers, *arguments: programs(numbers).errors(*arguments)))
