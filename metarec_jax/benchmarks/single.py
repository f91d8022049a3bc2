"""One fold of a benchmark with the test tasks left alone: for tuning, and for a learner that is put to use."""

from typing import Any

from metarec_jax.benchmarks.base import Benchmark, Fold, Trained
from metarec_jax.benchmarks.driver import bind
from metarec_jax.benchmarks.fitting import train
from metarec_jax.recipes.base import Recipe
from metarec_jax.train.store import Store


def open_fold(benchmark: Benchmark, data: Any, seed: int, store: Store) -> Fold:
    """The first fold of a seed; nothing is made of its test tasks. From here on the store belongs to these data.

    Raises:
      DataError: there are no validation tasks as the benchmark asks for them; nothing has been kept then.
      StoreError: the store was begun with other data.
    """
    table = benchmark.table(data)
    fold = benchmark.folds(table, seed, store)[0]
    fold.held_out("valid")
    bind(store, table, {seed: [fold]})
    return fold


def train_for_use(
    benchmark: Benchmark,
    recipe: Recipe,
    data: Any,
    *,
    seed: int = 0,
    store: Store | None = None,
    progress: bool = True,
) -> tuple[Trained, Fold]:
    """A learner trained as `run` does, with early stopping on the validation tasks, and the fold it was trained on.

    Args:
      benchmark: for example `user_cold_start()`.
      recipe: of a method that is trained.
      data: for example from `data.load`.
      seed: of split and training.
      store: whose checkpoint the training goes on from; None: in memory.
      progress: whether a bar is shown.

    Raises:
      DataError, StoreError: as of `open_fold`.
      TrainingError: the learner diverges.
    """
    store = store or Store()
    fold = open_fold(benchmark, data, seed, store)
    return train(benchmark, recipe, fold, store, sharding=None, progress=progress), fold
