"""Few-shot classification as a benchmark: protocol, methods, and the page of results."""

from collections.abc import Callable, Mapping
from typing import Any

from metarec_jax.benchmarks.base import Benchmark, Fold
from metarec_jax.benchmarks.few_shot.base import FewShotData, Protocol, answer, make_fold, measure
from metarec_jax.benchmarks.few_shot.result import compose
from metarec_jax.benchmarks.few_shot.training import fit
from metarec_jax.eval.metrics import ACCURACY
from metarec_jax.recipes.base import Recipe
from metarec_jax.train.store import Store


def few_shot(
    name: str,
    title: str,
    protocol: Protocol,
    recipes: Mapping[str, Recipe],
    default: tuple[str, ...],
    table: Callable[[Any], FewShotData],
) -> Benchmark:
    """A benchmark of few-shot classification.

    Args:
      name: in results.
      title: of the page.
      protocol: what is the same for all methods.
      recipes: the methods; their builders are `Method` or `Classic`.
      default: names of the learners that run when nothing is said.
      table: of a data set: what episodes are drawn from.
    """

    def folds(data: FewShotData, seed: int, store: Store) -> list[Fold]:
        del store
        return [make_fold(data, protocol, shape, seed) for shape in protocol.shapes]

    return Benchmark(
        name,
        folds,
        measure,
        answer,
        (ACCURACY,),
        recipes,
        default,
        table,
        same_query=False,
        fit=fit,
        result=lambda measured: compose(measured, title, protocol),
    )
