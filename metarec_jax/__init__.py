"""Meta-learned, cold-start recommendation in JAX.

    import metarec_jax as mr

    result = mr.benchmarks.run(
        mr.benchmarks.user_cold_start(shots=(0, 5, 10)),
        mr.data.load("ml-100k"),
        [mr.recipes.attentive_ridge(rank=16), mr.recipes.maml(inner_lr=3.0), mr.recipes.gp()],
        seeds=range(3),
    )
    print(result.table("rmse"))

Parts are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metarec_jax import (
        baselines,
        benchmarks,
        data,
        eval,
        learners,
        models,
        objectives,
        ops,
        params,
        priors,
        recipes,
        report,
        search,
        serve,
        tasks,
        testing,
        train,
        types,
    )

__version__ = "0.1.0"
__all__ = [
    "baselines",
    "benchmarks",
    "data",
    "eval",
    "learners",
    "models",
    "objectives",
    "ops",
    "params",
    "priors",
    "recipes",
    "report",
    "search",
    "serve",
    "tasks",
    "testing",
    "train",
    "types",
]


def __getattr__(name: str) -> Any:
    """A part of the package, imported now."""
    if name in __all__:
        return importlib.import_module(f"metarec_jax.{name}")
    raise AttributeError(f"metarec_jax has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
