"""The two checks: a learner, or a baseline, has all the properties of its table."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.ops.rows import map_rows
from metarec_jax.testing.case import Case
from metarec_jax.testing.table import BASELINE_PROPERTIES, LEARNER_PROPERTIES, Property
from metarec_jax.types import Array, Baseline, Episode, Learner, Params


class ConformanceError(AssertionError):
    """A property that a method does not have: `name` is the property's, the message says what to look at."""

    def __init__(self, name: str, problem: str, look_at: str):
        super().__init__(f"broken property: {name}. {problem} Look at {look_at}.")
        self.name = name


def check_learner(
    learner: Learner,
    episode: Episode,
    *,
    key: Array | None = None,
    params: Params | None = None,
    exact_gradient: bool = True,
    stepwise: bool = False,
    learnt_variance: bool = False,
    transductive: bool = False,
    atol: float = 2e-5,
    rtol: float = 0.0,
) -> tuple[str, ...]:
    """Check that a learner has the properties of `LEARNER_PROPERTIES`.

    Args:
      learner: any learner; see `metarec_jax.types`.
      episode: ONE task. x: pytree of [N, ...], y and mask: [N]. 5 to 10 rows of support say most.
      key: of `init` and of the loss. None: key 0.
      params: what the properties are checked at, of the structure that `init` gives. None: what `init` gives. Trained
        or perturbed parameters say more where something starts at 0.
      exact_gradient: whether `jax.grad` of the loss is its gradient, as it is not for first-order rules.
      stepwise: whether `update` takes steps on the newest examples, so that it need not equal adapting to all.
      learnt_variance: whether `variance` is of a network, so that it need not fall with every rating.
      transductive: whether a task's queries help to predict each other, so that rows without a mask cannot be inert.
      atol, rtol: differences of predictions that count as none, as in `numpy.allclose`; float32 has no less.

    Returns:
      The names of the properties that were checked and hold.

    Raises:
      ConformanceError: a property does not hold; the message says which and what to look at.
      ValueError: the episode is not one task of two rows or more.
    """
    episode = _one_task(episode)
    key = jax.random.key(0) if key is None else key
    # Of jax's arrays, for nothing here is compiled: operation by operation, what was for one learner serves the next.
    make = partial(learner.init, key, jax.tree.map(jnp.asarray, episode))
    params = _guarded(LEARNER_PROPERTIES[0], make) if params is None else params
    flags = (exact_gradient, stepwise, learnt_variance, transductive)
    return _check(Case(learner, params, episode, key, make, atol, rtol, *flags), LEARNER_PROPERTIES)


def check_baseline(baseline: Baseline, train: Any, episode: Episode, **settings: Any) -> tuple[str, ...]:
    """Check that a fitted baseline has the properties of `BASELINE_PROPERTIES`.

    Args:
      baseline: any baseline; see `metarec_jax.types`.
      train: what its `fit` takes, usually `data.table.Ratings`. It is fitted twice.
      episode: as of `check_learner`. A query with an item that nobody has rated says more.
      **settings: of `fit`.

    Returns, raises: as of `check_learner`.
    """
    episode, fit = _one_task(episode), partial(baseline.fit, train, **settings)
    params = _guarded(BASELINE_PROPERTIES[0], fit)
    case = Case(baseline, params, episode, jax.random.key(0), fit, atol=1e-4, rtol=1e-4)
    return _check(case, BASELINE_PROPERTIES)


def _check(case: Case, properties: Iterable[Property]) -> tuple[str, ...]:
    held = []
    for row in properties:
        if row.applies(case):
            problem = _guarded(row, partial(row.check, case))
            if problem:
                raise ConformanceError(row.name, problem, row.look_at)
            held.append(row.name)
    return tuple(held)


def _guarded(row: Property, call: Any) -> Any:
    """What the call returns; what it raises is a broken property too."""
    try:
        return call()
    except Exception as error:
        problem = f"The method raised {type(error).__name__}: {str(error).strip()}"
        raise ConformanceError(row.name, problem, row.look_at) from error


def _one_task(episode: Episode) -> Episode:
    episode = jax.tree.map(np.asarray, episode)
    for part, examples in zip(Episode._fields, episode, strict=True):
        if examples.mask.ndim != 1:
            raise ValueError(f"The episode is to be one task: the mask of its {part} has shape {examples.mask.shape}.")
        arrays: list[Any] = []
        map_rows(arrays.append, examples)
        lengths = {array.shape[:1] for array in arrays}
        if len(lengths) > 1:
            raise ValueError(f"All arrays of the {part} are to have the same first axis; there are {sorted(lengths)}.")
        if (examples.mask > 0).sum() < 2:
            raise ValueError(f"The {part} is to have two real rows or more, for something to be checked.")
    return episode
