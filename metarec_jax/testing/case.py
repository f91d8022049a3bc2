"""A method on one task, as the properties look at it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.ops.rows import map_rows
from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.types import Array, Episode, Examples, Fast, Params

PADDING, GARBAGE_X, GARBAGE_Y = 3, 7.0, 1e4  # rows of padding, and what they hold where they hold floats


@dataclass(frozen=True, eq=False)
class Case:
    """A method on one task, and its compiled functions."""

    method: Any  # a Learner or a Baseline
    params: Params
    episode: Episode  # of numpy arrays, of which parts are taken without compiling anything
    key: Array
    make: Callable[[], Params]  # from `init` or `fit`
    atol: float
    rtol: float
    exact_gradient: bool = False
    stepwise: bool = False
    learnt_variance: bool = False
    transductive: bool = False

    @cached_property
    def adapt(self) -> Callable[[Params, Examples], Fast]:
        """The method's, compiled."""
        return jax.jit(self.method.adapt)

    @cached_property
    def predict(self) -> Callable[[Fast, Any], Array]:
        """The method's, compiled."""
        return jax.jit(self.method.predict)

    @cached_property
    def loss(self) -> Callable:
        """(params, episode, key) -> (scalar, metrics) at step 0, compiled."""
        return jax.jit(partial(self.method.loss, step=jnp.int32(0)))

    @cached_property
    def in_float64(self) -> tuple[Callable[[Params, Episode], tuple[Array, Params]], Params, Episode]:
        """(params, episode) -> (loss, gradient), compiled; the learnt parameters; the padded task."""
        with jax.enable_x64(True):
            learnt, fixed = split_fixed(self.params)
            learnt, fixed, task = jax.tree.map(_float64, (learnt, fixed, self.padded_episode))

            def loss(params: Params, fixed: Params, episode: Episode) -> Array:
                return self.method.loss(join_fixed(params, fixed), episode, self.key)[0]

            program = jax.jit(jax.value_and_grad(loss))
            return lambda params, episode: program(params, fixed, episode), learnt, task

    @cached_property
    def padded_episode(self) -> Episode:
        """The task with padding after the support and the query (of a transductive learner the support alone)."""
        support, query = self.episode
        return Episode(padded(support, query), query if self.transductive else padded(query, support))

    @property
    def no_rows(self) -> Examples:
        """A support without rows."""
        return rows_of(self.episode.support, slice(0))

    @property
    def masked(self) -> Examples:
        """The padded support with all of its rows masked."""
        support = self.padded_episode.support
        return support._replace(mask=np.zeros_like(support.mask))

    def predictions(self, support: Examples) -> np.ndarray:
        """For the query, after adapting to `support`."""
        return self.answers(self.adapt(self.params, support))

    def answers(self, fast: Fast) -> np.ndarray:
        """For the query, from what was learnt."""
        return np.asarray(self.predict(fast, self.episode.query.x))

    def differ(self, values: Any, expected: Any, scale: float = 1.0) -> str:
        """What is wrong if the two differ by more than `scale` times the tolerance; else nothing."""
        values, expected = np.asarray(values), np.asarray(expected)
        if values.shape != expected.shape:
            return f"The shapes are {values.shape} and {expected.shape}."
        if np.allclose(values, expected, atol=scale * self.atol, rtol=scale * self.rtol, equal_nan=True):
            return ""
        return f"The largest difference is {np.max(np.abs(values - expected)):.3g}."


def padded(examples: Examples, other: Examples) -> Examples:
    """The examples and rows of garbage with mask 0; integers (ids, classes, tokens) are those of `other` examples."""

    def append(leaf: Any, others: Any, garbage: float) -> Any:
        shape = (PADDING, *leaf.shape[1:])
        rows = np.full(shape, garbage) if _is_float(leaf) else np.resize(others[::-1], shape)
        return np.concatenate([leaf, rows.astype(leaf.dtype)])

    x = map_rows(partial(append, garbage=GARBAGE_X), examples.x, other.x)
    return Examples(x, append(examples.y, other.y, GARBAGE_Y), append(examples.mask, other.mask, 0.0))


def rows_of(examples: Examples, rows: slice) -> Examples:
    """Some of the rows."""
    return map_rows(lambda leaf: leaf[rows], examples)


def not_finite(tree: Any) -> bool:
    """Whether a number in the tree is not finite; integers all are."""
    return not all(np.isfinite(leaf).all() for leaf in map(np.asarray, jax.tree.leaves(tree)) if _is_float(leaf))


def _float64(leaf: Any) -> Array:
    leaf = np.asarray(leaf)
    return jnp.asarray(leaf, jnp.float64 if _is_float(leaf) else leaf.dtype)


def _is_float(leaf: np.ndarray) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))  # numpy does not know bfloat16
