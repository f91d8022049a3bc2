"""How a recipe becomes a trained method on a fold: a classical method chosen from its grid, a learner meta-trained."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from metarec_jax.benchmarks.base import Benchmark, Fold, HeldOut, Method, Trained
from metarec_jax.data.table import Ratings
from metarec_jax.eval.grid_search import Shots, grid_search
from metarec_jax.eval.predict import PredictionError
from metarec_jax.priors.statistics import naming
from metarec_jax.recipes.base import Built, Recipe, Stage, hyperparameters
from metarec_jax.train.cross_fit import deviating, from_starts, started, whole, zero
from metarec_jax.train.fit import Journal, fit
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store
from metarec_jax.types import Array, Examples, Learner, Params, Tasks


def value(benchmark: Benchmark, name: str, method: Method, params: Params, held_out: HeldOut) -> float:
    """What is minimised on validation tasks at one K; infinite where a prediction is not a finite number: a bad setting
    loses instead of stopping the run."""
    metric = benchmark.validating(method.output)
    try:
        values = np.asarray(benchmark.measure(name, method, params, held_out, (metric,))[metric.name])
    except PredictionError:
        return float("inf")
    mean = np.float32(metric.sign * metric.mean(values))  # as precise as predictions are
    return mean if np.isfinite(mean) else float("inf")


def fitted(
    benchmark: Benchmark, recipe: Recipe, fold: Fold, store: Store, *, sharding: Sharding | None, progress: bool
) -> Iterator[tuple[Trained, list[Shots]]]:
    """A recipe's method, ready for a fold, and the Ks at which it is: a classical one at one setting after another."""
    if recipe.training is None:
        yield from choose(benchmark, recipe, fold)
    else:
        trained = train(benchmark, recipe, fold, store, sharding=sharding, progress=progress)
        yield trained, list(fold.held_out("test"))


def choose(benchmark: Benchmark, recipe: Recipe, fold: Fold) -> Iterator[tuple[Trained, list[Shots]]]:
    """A classical method at the settings of its grid that are best on the validation tasks, and the Ks at which they
    are; one after another."""

    def judge(name: str, method: Method, params: Params, held_out: HeldOut) -> float:
        return value(benchmark, name, method, params, held_out)

    winners = grid_search(
        recipe.name, recipe.baseline, list(recipe.grid), fold.tables["train"], fold.held_out("valid"), judge
    )
    for best in winners:
        told = []
        if recipe.output == "rating":
            told = [
                warn(benchmark, fold, recipe.name, value, [fold.held_out("valid")[k]], f" at K = {k}")
                for k, value in best.values.items()
            ]
        warning = " ".join(filter(None, told))
        yield Trained(recipe.baseline, best.params, best.settings, warning=warning), list(best.values)


class Ready(NamedTuple):
    """A learner ready for training."""

    learner: Learner
    tasks: Tasks
    params: Params | None  # where training starts
    whole: Callable[[Params], Params]  # parameters in training -> those that the method is used with
    rates: dict[str, float] | None  # see `optimisers.adam`
    to_the_end: bool  # whether the last parameters count, and not those of the best validation value


def ready(built: Built, fold: Fold, table: str) -> Ready:
    """What is trained of a recipe's method, on the tasks of a table of the fold: where it starts from a fit, its
    deviation from that, cross-fitted."""
    learner, rates = in_training(built), built.rates
    if built.start is None:
        return Ready(learner, fold.tasks(table), built.params, lambda params: params, rates, False)
    tasks = from_starts(fold.tasks(table, folds=True), built.start)
    return Ready(learner, tasks, zero(built.params, built.start), partial(whole, built.params), rates, True)


def in_training(built: Built) -> Learner:
    """The learner that is trained of a recipe's method."""
    return built.method if built.start is None else deviating(built.method, built.params)


def sample_of(built: Built, fold: Fold, table: str) -> Callable:
    """What draws the training episodes of `ready`."""
    return fold.tasks(table).sample if built.start is None else started(fold.tasks(table, folds=True).sample)


def train(
    benchmark: Benchmark, recipe: Recipe, fold: Fold, store: Store, *, sharding: Sharding | None, progress: bool
) -> Trained:
    """Meta-train a learner on a fold, stage after stage, going on from the store's checkpoint: with early stopping on
    the validation tasks, or, from a cross-fitted start, to the end, and back to the start where that was better."""
    own, config = hyperparameters(recipe)
    config = config.bounded(owners(fold.tables["train"]))
    params, stages = None, [stage for stage in recipe.stages if stage.steps(config)]
    for stage in stages:
        outer = dataclasses.replace(config, steps=stage.steps(config))
        first = () if len(recipe.stages) == 1 else (outer.steps, params)
        build = partial(recipe.build, fold.tables[stage.table], *first, **own)
        with naming(recipe.name):
            built = build()
            todo = ready(built, fold, stage.table)
        metric, name = benchmark.validating(built.method.output), stage_name(stage, fold.label(recipe.name))

        def validate(params: Params, method: Method = built.method, todo: Ready = todo) -> float:
            every_k = watched(fold).values()
            return float(np.mean([value(benchmark, recipe.name, method, todo.whole(params), at_k) for at_k in every_k]))

        folder = fold.place(recipe.name) + ("" if stage.table == "train" else f"/{stage.table}")
        ended = fit(
            todo.learner,
            todo.tasks,
            outer,
            key=stream(fold.seed, name),
            params=todo.params,
            rates=todo.rates,
            validate=validate,
            keep_last=stage.keep_last or todo.to_the_end,
            sharding=sharding or Sharding(),
            journal=Journal(store, folder, name, fold.seed, metric.name, metric.sign, progress),
        )
        params, reached, told = todo.whole(ended.params), float(ended.run.best_value), []
        if built.start is not None:
            reached = validate(ended.params)
            if harmed(benchmark, recipe.name, built, params, watched(fold)):
                params, reached = built.params, validate(todo.params)
                told.append(
                    f"{fold.label(recipe.name)}, seed {fold.seed}: left for its start, which is better on the"
                    " validation tasks by more than a standard error."
                )
    if recipe.output == "rating":
        told.append(warn(benchmark, fold, recipe.name, reached, watched(fold).values()))
    return Trained(built.method, params, own | vars(config), build, " ".join(filter(None, told)))


def owners(table: Any) -> int:
    """How many owners of tasks a training table has."""
    return table.num_users if isinstance(table, Ratings) else 1


def harmed(benchmark: Benchmark, name: str, built: Built, params: Params, held_out: Mapping[Shots, HeldOut]) -> bool:
    """Whether parameters after training are worse on the validation tasks than those it started from, by more than a
    standard error over the owners, each of whom counts by the mean over K; or predict what is no number."""
    metric = benchmark.validating(built.method.output)

    def errors(params: Params) -> np.ndarray:
        every_k = [benchmark.measure(name, built.method, params, at_k, (metric,)) for at_k in held_out.values()]
        return metric.sign * np.concatenate([measured[metric.name] for measured in every_k])

    try:
        rise = errors(params) - errors(built.params)
    except PredictionError:
        return True
    defined = np.isfinite(rise)
    users = np.concatenate([at_k.users for at_k in held_out.values()])[defined]
    _, owner = np.unique(users, return_inverse=True)
    rises = np.bincount(owner, rise[defined]) / np.bincount(owner)
    return bool(rises.mean() > rises.std() / len(rises) ** 0.5)


def watched(fold: Fold) -> Mapping[Shots, HeldOut]:
    """The tasks that early stopping watches, at every K."""
    return (fold.watched or (lambda: fold.held_out("valid")))()


def warn(benchmark: Benchmark, fold: Fold, name: str, reached: float, tasks: Iterable[HeldOut], where: str = "") -> str:
    """A sentence where a method does worse on validation tasks than the mean rating, which no method has to; "" where
    it does not, or where what is minimised is not the RMSE.

    Args:
      benchmark, fold: what was trained or chosen for.
      name: of the method.
      reached: what was minimised, the mean over these Ks.
      tasks: the validation tasks at each K.
      where: what the sentence calls these Ks.
    """
    metric, train, tasks = benchmark.metrics[0], fold.tables["train"], list(tasks)
    if (
        metric.name != "rmse"
        or not isinstance(train, Ratings)
        or not all(hasattr(at_k.tasks, "query") for at_k in tasks)
    ):
        return ""
    constant = np.mean([metric.mean(_of_constant(at_k.tasks.query, train.units[0])) for at_k in tasks])
    if reached <= 1.001 * constant:
        return ""
    return (
        f"{fold.label(name)}, seed {fold.seed}: {metric.label} {reached:.4f} on the validation tasks{where}, worse than"
        f" the mean rating's {constant:.4f}; it has diverged, or its settings do not fit these data."
    )


def _of_constant(query: Examples, mean: float) -> np.ndarray:
    """[T] mean squared errors of a constant prediction."""
    y, mask = np.asarray(query.y), np.asarray(query.mask)
    return np.sum(mask * (y - mean) ** 2, axis=1) / np.maximum(mask.sum(axis=1), 1.0)


def stage_name(stage: Stage, name: str) -> str:
    """A stage of a method's training, in the log."""
    return name if stage.table == "train" else f"{stage.table}, {name}"


def stream(seed: int, name: str) -> Array:
    """The key of a method's training: a stream of its own for each, by a hash of all of the name."""
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") >> 1
    return jax.random.fold_in(jax.random.key(seed), number)
