"""Meta-training of a learner on a task distribution, with early stopping, logged and resumable where a store is given.

run = fit(learner, tasks, Config(steps=10_000), key=jax.random.key(0))
fast = learner.adapt(run.params, support)
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from absl import logging
from tqdm import tqdm

from metarec_jax.train import checkpoint, loop, step
from metarec_jax.train.config import Config
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store
from metarec_jax.types import Array, Learner, Params, Tasks

UNSOLVED = 0.1  # of "residual", a metric of losses with an implicit gradient; from here on it is said to be far off


class Journal(NamedTuple):
    """Where a training is logged, and goes on from after a kill."""

    store: Store
    folder: str  # of its checkpoint in the store
    name: str  # in the log
    seed: int
    metric: str = "rmse"  # that parameters are validated by
    sign: int = 1  # of that metric in what is minimised
    progress: bool = True  # whether a bar is shown


class Fitted(NamedTuple):
    """A training that has ended."""

    params: Params  # those that count
    run: loop.Run


def optimiser_of(config: Config, rates: dict[str, float] | None, rows: bool) -> optax.GradientTransformation:
    """The outer loop's, with a schedule over all steps; `rates`, `rows`: see `optimisers.adam`."""
    return adam(config.outer_lr, config.total, weight_decay=config.weight_decay, rates=rates, rows=rows)


def train_steps(
    learner: Learner, sample: Callable, config: Config, rates: dict[str, float] | None, sharding: Sharding
) -> step.TrainSteps:
    """The compiled steps between two validations, on the episodes that `sample` draws."""
    optimiser = optimiser_of(config, rates, sharding.id_tables != "dense")
    return step.make_train_steps(
        learner, sample, optimiser, batch=config.batch, length=config.length, sharding=sharding
    )


def start(
    learner: Learner,
    tasks: Tasks,
    config: Config,
    key: Array,
    *,
    params: Params | None = None,
    rates: dict[str, float] | None = None,
    rows: bool = False,
) -> tuple[loop.Run, Array]:
    """A run at step 0, from `params` or else at random, and the key of its steps."""
    init_key, root = jax.random.split(key)
    optimiser = optimiser_of(config, rates, rows)
    if params is None:
        return loop.start(learner, tasks, optimiser, init_key), root
    return loop.start_from(params, optimiser), root


def fit(
    learner: Learner,
    tasks: Tasks,
    config: Config | None = None,
    *,
    key: Array,
    params: Params | None = None,
    rates: dict[str, float] | None = None,
    validate: Callable[[Params], float] | None = None,
    keep_last: bool = False,
    sharding: Sharding | None = None,
    steps: step.TrainSteps | None = None,
    journal: Journal | None = None,
) -> Fitted:
    """Meta-train a learner.

    Args:
      learner: pure functions of one task.
      tasks: where episodes come from.
      config: of the outer loop.
      key: of the starting parameters and of all steps.
      params: where to start; None: at random.
      rates: multiples of the learning rate, by names of parameters; see `optimisers.adam`.
      validate: parameters -> what is minimised, for example RMSE on validation tasks. None: there is nothing to stop
        early by, and the last parameters count.
      keep_last: whether the last parameters count, and not those of the best validation value.
      sharding: of the work of a step; None: one device.
      steps: compiled before by `train_steps` of the same arguments, or by `compiled.Compiled`.
      journal: where the training is logged and resumed; None: nowhere.

    Raises:
      TrainingError: the loss is not finite; lower the learning rates.
      CheckpointError: the journal's checkpoint is of another learner, or damaged.
    """
    config, sharding = config or Config(), sharding or Sharding()
    rows = sharding.id_tables != "dense"
    steps = steps or train_steps(learner, tasks.sample, config, rates, sharding)
    run, root = start(learner, tasks, config, key, params=params, rates=rates, rows=rows)
    how: dict[str, Any] = {"root": root, "steps": config.total, "patience": config.patience, "validate": validate}
    if validate is None:
        keep_last, how = True, how | {"validate": lambda params: 0.0}
    if keep_last:
        how |= {"patience": None}
    run = proceed(steps, tasks, run, journal, **how)
    return Fitted(run.state.params if keep_last else run.best_params, run)


def proceed(compiled: step.TrainSteps, tasks: Tasks, run: loop.Run, journal: Journal | None, **how: Any) -> loop.Run:
    """`loop.train` from a run, or from the journal's checkpoint, with a record, a checkpoint and a moved bar every time
    that parameters are validated.

    Args:
      compiled, tasks, run: as of `loop.train`.
      journal: None: only trains.
      **how: what else `loop.train` takes.
    """
    if journal is None:
        return loop.train(compiled, tasks, run, **how)
    store, path = journal.store, f"{journal.folder}/checkpoint.msgpack"
    saved = store.load(path)
    if saved is not None:
        run, _ = checkpoint.decode(saved, run, store.where(path))
    store.rewind(journal.seed, journal.name, int(run.state.step))
    before = [record["seconds"] for record in store.curve(journal.seed, journal.name)]
    begun, valid = time.perf_counter() - (before[-1] if before else 0.0), f"valid_{journal.metric}"
    bar = tqdm(
        total=how["steps"],
        initial=int(run.state.step),
        desc=f"{f'{journal.name}, seed {journal.seed}':24}",
        unit="step",
        dynamic_ncols=True,
        disable=None if journal.progress else True,
    )

    warned = False

    def on_steps(run: loop.Run, progress: loop.Progress) -> None:
        nonlocal warned
        seconds = round(time.perf_counter() - begun, 3)
        record = {"seed": journal.seed, "name": journal.name, "step": progress.step, "loss": progress.loss}
        store.log(record | progress.metrics | {valid: journal.sign * float(progress.valid), "seconds": seconds})
        if progress.metrics.get("residual", 0.0) > UNSOLVED and not warned:
            warned = True
            logging.warning(
                "%s, seed %d: %.0f%% of the inner problem's slope is left where the inner loop ends. The meta-gradient "
                "holds at the solution only: raise inner_steps, or lower inner_lr where it jumps about.",
                journal.name,
                journal.seed,
                100 * progress.metrics["residual"],
            )
        store.save(path, checkpoint.encode(run, {"name": journal.name, "seed": journal.seed}))
        value, best = journal.sign * progress.valid, journal.sign * float(run.best_value)
        bar.set_postfix({valid: f"{value:.4f}", "best": f"{best:.4f}"}, refresh=False)
        bar.update(progress.step - bar.n)

    with bar:
        return loop.train(compiled, tasks, run, on_steps=on_steps, **how)
