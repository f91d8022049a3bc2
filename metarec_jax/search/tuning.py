"""Tuning with equal budgets: as many trials for every baseline as for every learner, on validation tasks only.

content = tune(user_cold_start(), data.load("ml-100k"), ["gp", "maml"], trials=20, storage="trials.sqlite")
write_tuned("tuned.json", content)

A trial of a learner is a meta-training with early stopping, worth the mean over K of its validation RMSE; it compiles
nothing that an earlier trial did not. A trial of a baseline is a fit, scored at every K, and the best settings are kept
for every K apart (nDCG@5 for those that only rank). The first trial of a method has its default settings, and the next
ones of a baseline its grid, so that nothing gets worse on the validation tasks; then a sampler looks in the method's
space. Settings with which a method diverges lose. Nothing is made of the test tasks' ratings.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from metarec_jax.benchmarks.base import Benchmark, Fold
from metarec_jax.benchmarks.driver import resolve
from metarec_jax.benchmarks.fitting import owners, ready, stream, value
from metarec_jax.benchmarks.single import open_fold
from metarec_jax.data.table import Ratings
from metarec_jax.eval.grid_search import fit_defaults
from metarec_jax.priors.statistics import naming
from metarec_jax.recipes.base import Recipe, hyperparameters
from metarec_jax.search.storage import open_storage
from metarec_jax.search.study import Evaluate, Method, Settings, search, starts
from metarec_jax.search.sweep import check, compiled, rmse
from metarec_jax.search.tuned import EVERY_K
from metarec_jax.train.compiled import Programs
from metarec_jax.train.config import Config
from metarec_jax.train.fit import fit
from metarec_jax.train.store import Store
from metarec_jax.types import Params


def tune(
    benchmark: Benchmark,
    data: Ratings,
    recipes: Iterable[Recipe | str],
    *,
    storage: str,
    trials: int = 20,
    seed: int = 0,
    steps: int | None = None,
    store: Store | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Bring every method to so many trials, together with all processes that do the same on this storage.

    Args:
      benchmark: of ratings, for example `user_cold_start()`.
      data: for example from `data.load`.
      recipes: the methods; a text is the benchmark's recipe of that name.
      storage: a SQLite file, or the URL of a database; trials of the same data, split and benchmark count as done.
      trials: of every method.
      seed: of the split, of training and of the sampler.
      steps: of every meta-training; None: each recipe's own.
      store: that is bound to the data before any trial; None: in memory.
      progress: whether bars are shown.

    Returns:
      The content of a file of tuned settings, for `tuned.write_tuned`.

    Raises:
      ValueError: an unknown name, no method at all, a learner that is not trained in one stage, or a storage that
        cannot hold trials.
      DataError, StoreError: as of `open_fold`.
    """
    methods = [_configured(recipe, steps) for recipe in resolve(benchmark, recipes)]
    fold = open_fold(benchmark, data, seed, store or Store())
    table, split = fold.tables["all"], fold.split.sha256 if fold.split else None
    opened = open_storage(storage)
    tried = [method_of(benchmark, recipe, fold, progress=progress) for recipe in methods]
    with tqdm(total=trials * len(tried), unit="trial", dynamic_ncols=True, disable=None if progress else True) as bar:
        # Every method compiles programs of its own, which would pile up.
        entries = search(tried, opened, _identity(benchmark, fold), trials, seed, bar, turn=jax.clear_caches)
    return {
        "question": benchmark.name,  # the key's name in files that were written before benchmarks were called so
        "dataset": {"name": table.name, "sha256": table.sha256},
        "split": split,
        "seed": seed,
        "trials": trials,
        "steps": steps,
        **benchmark.protocol,
        "methods": entries,
    }


def method_of(benchmark: Benchmark, recipe: Recipe, fold: Fold, *, progress: bool = True) -> Method:
    """What is tuned of a recipe on a fold."""
    if recipe.training is None:
        return _classical(benchmark, recipe, fold)
    return _trained(benchmark, recipe, fold, progress)


def _configured(recipe: Recipe, steps: int | None) -> Recipe:
    if recipe.training is None:
        return recipe
    check(recipe)
    return recipe if steps is None else recipe.configured(steps=steps)


def _classical(benchmark: Benchmark, recipe: Recipe, fold: Fold) -> Method:
    """A classical method: one fit a trial, scored at every K."""
    defaults, metric = fit_defaults(recipe.baseline), benchmark.validating(recipe.output)

    def evaluate(settings: Settings) -> dict[str, float]:
        with naming(recipe.name):
            params = recipe.baseline.fit(fold.tables["train"], **settings)

        def value_of(held_out: Any) -> float:
            return metric.sign * float(value(benchmark, recipe.name, recipe.baseline, params, held_out))

        return {str(k): value_of(held_out) for k, held_out in fold.held_out("valid").items()}

    fixed = {key: default for key, default in defaults.items() if key not in recipe.space}
    first = starts(recipe.space, [defaults, *(defaults | settings for settings in recipe.grid)])
    return Method(recipe.name, metric.name, recipe.space, first, fixed, lambda: evaluate)


def _trained(benchmark: Benchmark, recipe: Recipe, fold: Fold, progress: bool) -> Method:
    """A method that is trained: one meta-training a trial."""
    own, config = hyperparameters(recipe)
    defaults = own | vars(config)

    def build() -> Evaluate:
        programs = compiled(recipe, fold)

        def evaluate(settings: Settings) -> dict[str, float]:
            own, config = hyperparameters(recipe, settings)
            compiled = programs.with_settings(own | vars(config))
            return {EVERY_K: best_value(recipe, fold, own, config, compiled, progress)}

        return evaluate

    fixed = {key: default for key, default in defaults.items() if key not in recipe.space}
    metric = benchmark.validating(recipe.output).name
    return Method(recipe.name, metric, recipe.space, starts(recipe.space, [defaults]), fixed, build)


def best_value(recipe: Recipe, fold: Fold, own: Settings, config: Config, programs: Programs, progress: bool) -> float:
    """The validation RMSE, mean over K, of the parameters that count after a meta-training by these programs."""
    table, valid, seen = fold.tables["train"], fold.held_out("valid"), []
    built, label = recipe.build(table, **own), f"{recipe.name:24}"
    todo, config = ready(built, fold, "train"), config.bounded(owners(table))
    with tqdm(total=config.total, desc=label, unit="step", leave=False, disable=None if progress else True) as bar:

        def validate(params: Params) -> float:
            seen.append(float(rmse(programs, todo.whole(params), valid)))
            bar.set_postfix(valid_rmse=f"{seen[-1]:.4f}", best=f"{min(seen):.4f}", refresh=False)
            bar.update(config.length if len(seen) > 1 else 0)  # the first is before any step
            return seen[-1]

        fitted = fit(
            todo.learner,
            todo.tasks,
            config,
            key=stream(fold.seed, recipe.name),
            params=todo.params,
            rates=todo.rates,
            validate=validate,
            keep_last=todo.to_the_end,
            steps=programs.steps,
        )
    return seen[-1] if todo.to_the_end else float(fitted.run.best_value)


def _identity(benchmark: Benchmark, fold: Fold) -> str:
    """Whatever the value of a trial depends on, beside the method: those of other data or tasks are other trials."""
    table, split = fold.tables["all"], fold.split.sha256 if fold.split else None
    features = [
        (list(part.names), hashlib.sha256(np.ascontiguousarray(part.values)).hexdigest())
        for part in (table.user_features, table.item_features)
    ]
    return json.dumps([benchmark.name, dict(benchmark.protocol), fold.seed, table.sha256, split, features])
