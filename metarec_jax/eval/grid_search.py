"""Choosing a baseline's settings on the validation tasks, for each K apart, so that it is met at its best."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from metarec_jax.data.table import Ratings
from metarec_jax.priors.statistics import naming
from metarec_jax.types import Baseline, Params

Shots = int | str


class Tuned(NamedTuple):
    """The settings that did best at some Ks, and what `fit` made of them."""

    settings: dict[str, Any]
    params: Params
    values: dict[Shots, float]  # what was minimised, at the Ks at which they did best


def grid_search(
    name: str,
    baseline: Baseline,
    grid: Sequence[dict[str, Any]],
    train: Ratings,
    valid: Mapping[Shots, Any],
    judge: Callable[[str, Baseline, Params, Any], float],
) -> Iterator[Tuned]:
    """Fit every setting of the grid; yield the best for each K, one entry for each distinct setting.

    Only the parameters of winners are kept in memory.

    Args:
      name: of the baseline, for errors.
      baseline: what to fit.
      grid: keyword arguments of `fit`.
      train: training ratings.
      valid: K -> validation tasks.
      judge: (name, baseline, parameters, validation tasks) -> what is minimised.
    """
    best: dict[Shots, tuple[float, int]] = {}
    fitted: dict[int, Params] = {}
    for number, settings in enumerate(grid):
        with naming(name):
            fitted[number] = baseline.fit(train, **settings)
        for shots, tasks in valid.items():
            value = judge(name, baseline, fitted[number], tasks)
            if shots not in best or value < best[shots][0]:
                best[shots] = (value, number)
        winners = {winner for _, winner in best.values()}
        fitted = {winner: params for winner, params in fitted.items() if winner in winners}
    for number, params in fitted.items():
        values = {shots: value for shots, (value, winner) in best.items() if winner == number}
        yield Tuned(grid[number], params, values)


def fit_defaults(baseline: Baseline) -> dict[str, Any]:
    """The settings that `fit` has when none are given."""
    parameters = inspect.signature(baseline.fit).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.name != "train"}
