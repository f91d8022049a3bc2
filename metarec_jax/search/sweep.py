"""How much do the seed and a number matter? N meta-trainings of one learner as one compiled program.

found = sweep(recipes.maml(steps=500), data.load("ml-100k"), vary={"inner_lr": (0.03, 0.1)}, seeds=4)
print(found.table())
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from metarec_jax.benchmarks.base import Benchmark, Fold, HeldOut
from metarec_jax.benchmarks.driver import resolve
from metarec_jax.benchmarks.fitting import in_training, owners, ready, sample_of, stream
from metarec_jax.benchmarks.ratings import user_cold_start
from metarec_jax.benchmarks.result import environment
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.predict import squared_errors
from metarec_jax.priors.statistics import naming
from metarec_jax.recipes.base import Recipe, hyperparameters
from metarec_jax.recipes.space import grid, is_real
from metarec_jax.report.table import aligned
from metarec_jax.train.compiled import Compiled, Programs, Settings
from metarec_jax.train.config import Config
from metarec_jax.train.fit import start, train_steps
from metarec_jax.train.loop import Run
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store
from metarec_jax.train.sweep import fit_many, stack
from metarec_jax.types import Params


class Planned(NamedTuple):
    """One of the trainings."""

    label: str  # what is varied in it
    seed: int
    own: dict[str, Any]  # keywords of the builder
    config: Config


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What N trainings side by side found; `content` can be written as JSON."""

    # learner, dataset, split_sha256, shots, runs, curves, ms_per_step_of_all, environment
    content: dict[str, Any]
    params: Params  # [N, ...] on every leaf: the best of every run, by validation

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Of every run: label, seed, valid_rmse, and the step at which it was reached."""
        return self.content["runs"]

    @property
    def curves(self) -> list[dict[str, Any]]:
        """Every time that all are validated: step, seconds, and [N] loss and valid_rmse."""
        return self.content["curves"]

    def table(self) -> str:
        """As `text_table` of the content."""
        return text_table(self.content)


def text_table(content: dict[str, Any]) -> str:
    """A row a value: the mean over the seeds, their deviation, and the best and the worst of them."""
    rows, runs = [["", "runs", "RMSE", "deviation", "best", "worst"]], content["runs"]
    for label in dict.fromkeys(run["label"] for run in runs):
        values = np.array([run["valid_rmse"] for run in runs if run["label"] == label])
        deviation = f"{values.std(ddof=1):.4f}" if len(values) > 1 else ""
        figures = [f"{values.mean():.4f}", deviation, f"{values.min():.4f}", f"{values.max():.4f}"]
        rows.append([label, str(len(values)), *figures])
    head = f"Validation RMSE of {content['learner']} on {content['dataset']}, mean over K = {content['shots']}"
    return "\n".join([head, *aligned(rows)])


def sweep(
    recipe: Recipe | str,
    data: Any,
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 4,
    benchmark: Benchmark | None = None,
    progress: bool = True,
) -> Sweep:
    """Train a learner for every combination of values and seeds, all runs side by side, to their last step.

    All draw tasks of the same training users of one split; a seed is that of parameters and episodes. A run is one
    place on one more axis of everything, so nothing is compiled twice and small networks fill a device. Scored on the
    validation tasks only.

    Args:
      recipe: of a learner; a text is the benchmark's recipe of that name.
      data: for example from `data.load`.
      vary: real numbers of the learner's space, and their values; None: the recipe's own.
      seeds: 0, 1, ... of each combination of values.
      benchmark: of ratings; None: `user_cold_start` at K = 5 and 10.
      progress: whether a bar is shown.

    Raises:
      ValueError: as of `plan`.
      TrainingError: a run diverges; the message says which.
    """
    benchmark = benchmark or user_cold_start(shots=(5, 10))
    recipe = resolve(benchmark, [recipe])[0]
    runs, table = plan(recipe, vary, seeds), benchmark.table(data)
    fold, config = benchmark.folds(table, 0, Store())[0], runs[0].config
    curves, clock = [], time.perf_counter()
    with tqdm(
        total=config.total, unit="step", desc=f"{len(runs)} runs of {recipe.name}", disable=None if progress else True
    ) as bar:

        def on_steps(step: int, loss: np.ndarray, values: np.ndarray) -> None:
            seconds = round(time.perf_counter() - clock, 3)
            curves.append({"step": step, "loss": loss.tolist(), "valid_rmse": values.tolist(), "seconds": seconds})
            bar.set_postfix(best=f"{values.min():.4f}", worst=f"{values.max():.4f}", refresh=False)
            bar.update(config.length)

        trained = train_side_by_side(recipe, fold, runs, on_steps)
    # Steps compile when they are first run, so the later ones tell how long one takes.
    seconds = (curves[-1]["seconds"] - curves[0]["seconds"]) / max(1, (len(curves) - 1) * config.length)
    scored = zip(runs, trained.best_value, trained.best_step, strict=True)
    content = {
        "learner": recipe.name,
        "dataset": table.name,
        "split_sha256": fold.split.sha256 if fold.split else None,
        "shots": list(fold.held_out("valid")),
        "runs": [
            {"label": run.label, "seed": run.seed, "valid_rmse": float(value), "step": int(step)}
            for run, value, step in scored
        ],
        "curves": curves,
        "ms_per_step_of_all": 1e3 * seconds,
        "environment": environment(),
    }
    return Sweep(content, trained.best_params)


def plan(recipe: Recipe, vary: Mapping[str, Sequence[Any]] | None, seeds: int) -> list[Planned]:
    """Every combination of values and seeds; the seed varies fastest.

    Raises:
      ValueError: what is varied is no real number of the recipe's space, a value does not read as one, or the recipe
        is of no learner, or of one that is trained in several stages.
    """
    check(recipe)
    reals = [name for name, where in recipe.space.items() if is_real(where)]
    for key, values in (vary or {}).items():
        if key not in reals or not values:
            raise ValueError(f"{recipe.name}: cannot vary {key}={values}; give values of {', '.join(reals)}.")
    combinations = grid(**{key: tuple(values) for key, values in (vary or {}).items()})
    labelled = [(", ".join(f"{key}={value}" for key, value in own.items()) or "default", own) for own in combinations]
    return [Planned(label, seed, *hyperparameters(recipe, own)) for label, own in labelled for seed in range(seeds)]


def check(recipe: Recipe) -> None:
    """Raise ValueError unless this is the recipe of what is trained in one stage on episodes of ratings."""
    if recipe.training is None or len(recipe.stages) > 1 or recipe.output != "rating":
        raise ValueError(f"{recipe.name} is not trained in one go to predict ratings; choose another method.")


def compiled(recipe: Recipe, fold: Fold) -> Compiled:
    """The programs of a learner's training on a fold, for all values of the real numbers in its space."""
    train, keywords = fold.tables["train"], list(hyperparameters(recipe)[0])

    def make(settings: Settings) -> Programs:
        rest = dict(settings)
        with naming(recipe.name):
            built = recipe.build(train, **{key: rest.pop(key) for key in keywords})
        config = type(recipe.training)(**rest).bounded(owners(train))
        steps = train_steps(in_training(built), sample_of(built, fold, "train"), config, built.rates, Sharding())
        return Programs(steps, partial(squared_errors, built.method))

    return Compiled(make, [key for key, where in recipe.space.items() if is_real(where)])


def rmse(programs: Programs, params: Params, held_out: Mapping[Shots, HeldOut]) -> np.ndarray:
    """The mean over K of the RMSE of held-out tasks: [], or [N] of N trainings; NaN where a prediction is no number."""
    errors = [np.asarray(programs.errors(params, at_k.tasks)) for at_k in held_out.values()]
    return np.mean([np.sqrt(each.mean(-1)) for each in errors], 0)


def train_side_by_side(
    recipe: Recipe, fold: Fold, runs: Sequence[Planned], on_steps: Callable[[int, np.ndarray, np.ndarray], None]
) -> Run:
    """The trainings to their last step, [N, ...] on every leaf; `on_steps` as of `train.sweep.fit_many`."""
    valid, begun, table = fold.held_out("valid"), [], fold.tables["train"]
    programs = compiled(recipe, fold).side_by_side([run.own | vars(run.config) for run in runs])
    for run in runs:
        todo = ready(recipe.build(table, **run.own), fold, "train")
        config, key = run.config.bounded(owners(table)), stream(run.seed, recipe.name)
        begun.append((todo, *start(todo.learner, todo.tasks, config, key, params=todo.params, rates=todo.rates)))

    def whole(params: Params) -> Params:
        """Those that the methods are used with, of all runs."""
        apart = [jax.tree.map(lambda leaf, place=place: leaf[place], params) for place in range(len(runs))]
        return stack([todo.whole(own) for (todo, *_), own in zip(begun, apart, strict=True)])

    trained = fit_many(
        programs.steps,
        begun[0][0].tasks.data,
        stack([run for _, run, _ in begun]),
        roots=jnp.stack([root for *_, root in begun]),
        steps=runs[0].config.bounded(owners(table)).total,
        validate=lambda params: rmse(programs, whole(params), valid),
        on_steps=on_steps,
    )
    return trained._replace(best_params=whole(trained.best_params))
