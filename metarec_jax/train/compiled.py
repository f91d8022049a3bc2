"""Meta-trainings that differ in real numbers only, as one compiled program: another value compiles nothing.

A learner is built from its hyper-parameters by a pure function, so the real numbers among them can be arguments of the
compiled training: the learner is built inside the program, from tracers. What decides shapes or loops (whole numbers,
choices) stays a Python value, and each combination of those has a program of its own.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metarec_jax.train.step import TrainSteps
from metarec_jax.types import Array, Params

Settings = dict[str, Any]  # hyper-parameter -> value


class Programs(NamedTuple):
    """What a meta-training runs on the device."""

    steps: TrainSteps
    errors: Callable[[Params, Any], Array]  # (parameters, held-out tasks) -> [T] mean squared errors


class Compiled:
    """The programs of a learner's training, for all values of its real numbers."""

    def __init__(self, make: Callable[[Settings], Programs], numbers: Collection[str]):
        """
        Args:
          make: complete settings, whose real numbers may be tracers -> the programs of a learner with these settings.
          numbers: names of the real numbers.
        """
        self._make, self._numbers = make, list(numbers)
        self._compiled: dict[tuple, Programs] = {}

    def with_settings(self, settings: Settings) -> Programs:
        """The programs at complete settings."""
        numbers, programs = self._find(settings)
        return Programs(partial(programs.steps, numbers), partial(programs.errors, numbers))

    def side_by_side(self, several: Sequence[Settings]) -> Programs:
        """The programs of N trainings at once: their state, root keys, parameters and what comes out have a leading
        [N].

        Raises:
          ValueError: the settings differ in more than real numbers.
        """
        pairs = [self._find(settings) for settings in several]
        programs = pairs[0][1]
        if any(other is not programs for _, other in pairs):
            raise ValueError("runs that are one program may differ in real numbers of the learner's space only.")
        numbers = {key: jnp.array([own[key] for own, _ in pairs], jnp.float32) for key in self._numbers}
        steps = jax.jit(jax.vmap(programs.steps, (0, None, 0, 0)), donate_argnums=2)
        errors = jax.jit(jax.vmap(programs.errors, (0, 0, None)))
        return Programs(partial(steps, numbers), partial(errors, numbers))

    def _find(self, settings: Settings) -> tuple[Settings, Programs]:
        """The real numbers, and the programs that take them as arguments."""
        fixed = dict(settings)
        numbers = {key: fixed.pop(key) for key in self._numbers}
        key = tuple(fixed.items())
        if key not in self._compiled:
            self._compiled[key] = self._compile(fixed)
        return numbers, self._compiled[key]

    def _compile(self, fixed: Settings) -> Programs:
        steps = jax.jit(lambda numbers, *arguments: self._make(fixed | numbers).steps(*arguments), donate_argnums=2)
        return Programs(steps, jax.jit(lambda numbers, *arguments: self._make(fixed | numbers).errors(*arguments)))
