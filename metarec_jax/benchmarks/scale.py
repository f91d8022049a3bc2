"""One training over devices and hosts, resumable, on ratings in memory or on the disk: the same program on one device
and on many.

The training users are dealt into shards, and a host reads into its devices only those that are theirs; a step draws as
many tasks from each shard. So the result is the same, up to rounding, on any number of devices that divides the shards.
A run that was killed, in the middle of a save too, goes on from its last whole checkpoint, on as many devices as there
are then. Validation users are split over the hosts and their errors gathered.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from metarec_jax.benchmarks.result import environment
from metarec_jax.benchmarks.scale_data import ScaleData, Sizes, in_columns, in_shards
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals, predict, streaming
from metarec_jax.eval.metrics import by_name
from metarec_jax.priors.statistics import naming
from metarec_jax.recipes.base import Built, Recipe, example, hyperparameters
from metarec_jax.tasks.catalogue import default_threshold
from metarec_jax.train import checkpoint, distributed, loop
from metarec_jax.train.config import Config
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharded_checkpoint import checkpoints
from metarec_jax.train.sharding import Parallel, Sharding, ShardingError, TableUpdates
from metarec_jax.train.step import make_train_steps
from metarec_jax.train.store import FolderStore, Store
from metarec_jax.types import Episode, Params


@dataclasses.dataclass(frozen=True)
class ScaleConfig:
    """What is trained on how much, and how its work is laid out."""

    steps: int = 500
    every: int = 100  # steps between validations and checkpoints
    batch: int = 32  # tasks a step, of all devices together
    support: int = 10
    query: int = 10
    seed: int = 0  # of split and training
    shards: int = 8  # of the training users of a table; a multiple of all devices
    parallel: Parallel = "jit"
    id_tables: TableUpdates = "dense"
    row_scale: bool = False  # one second moment a row of the tables; see `optimisers.adam`
    deterministic: bool = False  # see `Sharding`
    microbatch: int | None = None  # tasks at a time, gradients added up
    fit_users: int = 10_000  # of columns: training users from whom is taken what is fitted before the training
    valid_users: int = 1000  # of columns: validation users who are asked
    # What test users are asked in the end: nothing; their ratings; these, and where the ones that they like (those
    # three quarters up the scale) stand among all items.
    test: Literal["none", "ratings", "catalogue"] = "none"
    test_users: int | None = None  # so many, at random, instead of all
    items: int = 8192  # of the catalogue, scored at a time

    @property
    def length(self) -> int:
        """Steps between two validations."""
        return min(self.every, self.steps)

    def sharding(self, streamed: bool) -> Sharding:
        """Over all devices of all processes; whether the data is `streamed` from the disk.

        Raises:
          ShardingError: the tasks cannot be spread so.
        """
        how = (self.parallel, self.microbatch, self.id_tables)
        shards = not streamed
        sharding = Sharding(
            jax.device_count(), *how, shards=shards, deterministic=self.deterministic, streamed=streamed
        )
        sharding.check(self.batch)
        if shards and self.batch % self.shards:
            raise ShardingError(f"{self.batch} tasks a step cannot be drawn evenly from {self.shards} shards.")
        return sharding


class ScaleResult(NamedTuple):
    """What a run came to, the same in every process."""

    params: Params  # of the last step, on this process
    results: dict[str, Any]

    def save(self, store: Store) -> None:
        """Keep params.msgpack and, last, results.json: it says that the run is complete. By the first process alone."""
        store.save("params.msgpack", checkpoint.encode(self.params, {"step": self.results["steps"]}))
        store.save("results.json", json.dumps(self.results, indent=1).encode() + b"\n")


def run(
    recipe: Recipe, data: Ratings | Path, config: ScaleConfig, store: FolderStore, *, progress: bool = True
) -> ScaleResult:
    """Train to the end, from wherever an earlier run in this store came to; called by every process alike.

    Args:
      recipe: of the learner.
      data: a table, or a folder of columns (`data.io.columns`) that all hosts can read.
      config: of the run.
      store: of the log, which the first process writes, and of checkpoints; in a folder that all hosts can reach.
      progress: whether the first process shows bars.

    Raises:
      ShardingError: the tasks cannot be spread so.
      CheckpointError: the store's checkpoint is of another learner, or damaged.
      TrainingError, PredictionError: the learner diverges.
      ValueError: the learner starts from a fit.
    """
    sharding = config.sharding(isinstance(data, Path))
    mesh, todo = sharding.mesh(), _load(data, sharding, config)
    own, outer = hyperparameters(recipe)
    built = _build(recipe, todo.train, own)
    optimiser, start = _start(built, outer, todo.train, config)
    start = distributed.placed(start, sharding.of_state(mesh, start))
    steps = make_train_steps(
        built.method, todo.tasks.sample, optimiser, batch=config.batch, length=config.length, sharding=sharding
    )
    root = distributed.key(config.seed + 1, mesh)
    replicate = jax.jit(lambda tree: tree, out_shardings=jax.tree.map(lambda _: root.sharding, start.state.params))

    def here(params: Params) -> Params:
        return distributed.local(replicate(params))

    validate, writes = make_validate(built, todo.valid), distributed.is_first()
    if writes:
        store.begin()
    with checkpoints(store.folder / "checkpoints") as saved, todo.feed(steps) as fed:
        if (step := saved.latest()) is not None:
            start = saved.restore(step, start)
        first, shown = int(start.state.step), progress and writes
        if writes:
            store.rewind(config.seed, recipe.name, first)
        curve = store.curve(config.seed, recipe.name)
        begun = time.perf_counter() - (curve[-1]["seconds"] if curve else 0.0)
        with tqdm(total=config.steps, initial=first, unit="step", disable=None if shown else True) as bar:

            def on_steps(now: loop.Run, point: loop.Progress) -> None:
                if writes:  # before the checkpoint, so that the log has every step of one
                    seconds = round(time.perf_counter() - begun, 3)
                    store.log({"seed": config.seed, "name": recipe.name} | point._asdict() | {"seconds": seconds})
                saved.save(point.step, now)
                bar.set_postfix(valid_rmse=f"{point.valid:.4f}", refresh=False)
                bar.update(point.step - bar.n)

            train = partial(loop.train, fed, todo.tasks, start, root=root, steps=config.steps, place=lambda tree: tree)
            last = train(validate=lambda params: validate(here(params)), on_steps=on_steps)
    results = _results(recipe.name, todo.name, last, first, store.curve(config.seed, recipe.name))
    if config.test != "none":  # the best on the validation users, for the last may be worse
        results["test"] = _test(recipe.name, built, here(last.best_params), todo, config, shown)
    return ScaleResult(here(last.state.params), results)


def _build(recipe: Recipe, train: Ratings, own: dict[str, Any]) -> Built:
    """The learner, where it starts from nothing.

    Raises:
      ValueError: it starts from a fit, whose users it would be trained on.
    """
    with naming(recipe.name):
        built = recipe.build(train, **own)
    if built.start is not None:
        raise ValueError(
            f"{recipe.name} starts from {recipe.start}, and nothing is cross-fitted at this scale; choose a learner"
            " that starts from random weights, for example maml_network."
        )
    return built


def _results(learner: str, dataset: str, last: loop.Run, first: int, curve: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "learner": learner,
        "dataset": dataset,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "steps": int(last.state.step),
        "resumed_at": first,
        "best_valid_rmse": float(last.best_value),
        "history": [{name: record[name] for name in (*loop.Progress._fields, "seconds")} for record in curve],
        "environment": environment(),
    }


def _load(data: Ratings | Path, sharding: Sharding, config: ScaleConfig) -> ScaleData:
    sizes = Sizes(config.batch, config.support, config.query, config.length)
    if isinstance(data, Path):
        users = {"fitted": config.fit_users, "validated": config.valid_users}
        return in_columns(data, sharding, sizes, seed=config.seed, **users)
    return in_shards(data, sharding, sizes, shards=config.shards, seed=config.seed)


def _start(built: Built, outer: Config, train: Ratings, config: ScaleConfig) -> tuple[Any, loop.Run]:
    """The optimiser, and a run at step 0, the same in every process."""
    of_tables = {"rows": config.id_tables != "dense", "row_wise": config.row_scale}
    optimiser = adam(outer.outer_lr, config.steps, weight_decay=outer.weight_decay, rates=built.rates, **of_tables)
    params = built.params
    if params is None:
        params = built.method.init(jax.random.key(config.seed), example(train))
    return optimiser, loop.start_from(params, optimiser)


def make_validate(built: Built, whole: Episode) -> Callable[[Params], float]:
    """parameters -> RMSE of the validation tasks [T], each host doing its share of them."""
    number = len(whole.query.mask)
    own = list(distributed.share_of(number))
    tasks = jax.tree.map(lambda leaf: leaf[own], whole)

    def validate(params: Params) -> float:
        errors = predict.mean_squared_errors(built.method, params, tasks)
        return float(np.sqrt(distributed.gather(errors, number).mean()))

    return validate


def _test(
    name: str, built: Built, params: Params, todo: ScaleData, config: ScaleConfig, shown: bool
) -> dict[str, dict[str, Any]]:
    """Metric -> its mean over the test users with its interval, as in results.json."""
    asked = todo.test
    if config.test_users is not None and config.test_users < len(asked.names):
        rng = np.random.default_rng(config.seed)
        some = np.sort(rng.choice(len(asked.names), config.test_users, replace=False))
        asked = streaming.HeldOutUsers(asked.names[some], lambda own, size: todo.test.blocks(some[own], size))
    liked = default_threshold(todo.train) if config.test == "catalogue" else None
    content, sizes = todo.train.item_features.values, streaming.Sizes(items=config.items)
    own = len(distributed.share_of(len(asked.names)))
    with tqdm(total=own, desc="test", unit="user", disable=None if shown else True) as bar:
        values = streaming.ask(
            name, built.method, params, content, asked, liked=liked, sizes=sizes, on_block=bar.update
        )
    return {
        metric: intervals.estimate(each, asked.names, by_name(metric).rooted)._asdict()
        for metric, each in values.items()
    }
