"""Meta-trainings that differ in numbers only, as one compiled program: a trial of tuning compiles nothing.

A learner is built from its hyper-parameters by a pure function, so the numbers among them can be arguments of the
compiled training: it is built INSIDE the program, from tracers. What decides shapes or loops (whole numbers, choices)
stays a Python value, and each combination of those has a program of its own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.common.jobs import Programs, make_programs
from metarec_jax.data.table import Ratings
from metarec_jax.recipes.base import Built, Recipe
from metarec_jax.recipes.space import is_real
from metarec_jax.train.config import Config
from metarec_jax.train.sharding import Sharding

Settings = dict[str, Any]


class OneProgram:
    """The training of a recipe's learner on one table, for all values of the real numbers in its space."""

    def __init__(self, recipe: Recipe, train: Ratings, sample: Callable):
        self._recipe, self._train, self._sample = recipe, train, sample
        self._numbers = [key for key, where in recipe.space.items() if is_real(where)]
        self._compiled: dict[tuple, Programs] = {}

    def at(self, own: Settings, outer: Config) -> Programs:
        """The programs at these hyper-parameters, from `recipes.base.hyperparameters`."""
        numbers, found = self._find(own, outer)
        return Programs(partial(found.chunk, numbers), partial(found.errors, numbers))

    def microbatch(self, several: Sequence[tuple[Settings, Config]]) -> Programs:
        """The programs of N runs at once: their state, root keys, parameters and what comes out have a leading [N].

        Raises:
          ValueError: the hyper-parameters differ in more than real numbers.
        """
        pairs = [self._find(own, outer) for own, outer in several]
        found = pairs[0][1]
        if any(other is not found for _, other in pairs):
            raise ValueError("runs that are one program may differ in real numbers of the learner's space only.")
        numbers = {key: jnp.array([own[key] for own, _ in pairs], jnp.float32) for key in self._numbers}
        chunk = jax.jit(jax.vmap(found.chunk, (0, None, 0, 0)), donate_argnums=2)
        errors = jax.jit(jax.vmap(found.errors, (0, 0, None)))
        return Programs(partial(chunk, numbers), partial(errors, numbers))

    def _find(self, own: Settings, outer: Config) -> tuple[Settings, Programs]:
        """The real numbers, and the programs that take them as arguments."""
        settings = own | vars(outer)
        numbers = {key: settings.pop(key) for key in self._numbers}
        key = tuple(settings.items())
        if key not in self._compiled:
            self._compiled[key] = self._compile(settings, list(own))
        return numbers, self._compiled[key]

    def _compile(self, fixed: Settings, own: list[str]) -> Programs:
        def build(numbers: Settings) -> tuple[Built, Config]:
            settings = fixed | numbers
            keywords = {key: settings.pop(key) for key in own}
            return self._recipe.build(self._train, **keywords), Config(**settings)

        def programs(numbers: Settings) -> Programs:
            return make_programs(*build(numbers), self._sample, Sharding())

        chunk = jax.jit(lambda numbers, *arguments: programs(numbers).chunk(*arguments), donate_argnums=2)
        return Programs(chunk, jax.jit(lambda numbers, *arguments: programs(numbers).errors(*arguments)))
