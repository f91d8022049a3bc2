"""A learner's meta-training with early stopping: what runs on the device, and what keeps it resumable."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from tqdm import tqdm

from experiments.common.workdir import Log
from metarec_jax.eval.metrics import by_name
from metarec_jax.eval.predict import squared_errors
from metarec_jax.recipes.base import Built
from metarec_jax.train import checkpoint, loop, step
from metarec_jax.train.config import Config
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Array, Episode, Params, Tasks

VALIDATIONS = 20  # chunks, and so validations and checkpoints, in a training run


class Job(NamedTuple):
    """A learner's meta-training, ready to go."""

    start: loop.Run
    steps: int | None  # None: until its time is up
    fit: Callable[..., loop.Run]  # (run to go on from, on_chunk=...) -> run with the best parameters
    metric: str = "rmse"  # that `fit` validates by
    last: bool = False  # whether the last parameters count, and not those of the best validation value


class Programs(NamedTuple):
    """What a meta-training runs on the device."""

    chunk: step.TrainSteps
    errors: Callable[[Params, Episode], Array]  # (parameters, held-out tasks) -> [T] mean squared errors
    rows: bool = False  # whether tables of ids are trained row by row


def make_programs(built: Built, outer: Config, sample: Callable, sharding: Sharding) -> Programs:
    """Of a learner trained on the episodes that `sample` draws."""
    rows = sharding.id_tables != "dense"
    chunk = step.make_train_steps(
        built.method,
        sample,
        make_optimiser(built, outer, rows),
        batch=outer.batch,
        length=chunk_length(outer),
        sharding=sharding,
    )
    return Programs(chunk, partial(squared_errors, built.method), rows)


def make_optimiser(built: Built, outer: Config, rows: bool) -> optax.GradientTransformation:
    """The outer loop's, with a schedule over all chunks; `rows`: see `training.adam`."""
    return adam(outer.outer_lr, total_steps(outer), weight_decay=outer.weight_decay, rates=built.rates, rows=rows)


def chunk_length(outer: Config) -> int:
    """Steps between two validations."""
    return max(1, -(-outer.steps // VALIDATIONS))


def total_steps(outer: Config) -> int:
    """`outer.steps`, rounded up to whole chunks."""
    length = chunk_length(outer)
    return -(-outer.steps // length) * length


def make_job(
    name: str,
    built: Built,
    outer: Config,
    seed: int,
    tasks: Tasks,
    held_out: Mapping[int | str, Episode],
    programs: Programs,
) -> Job:
    """Meta-training on `tasks` with early stopping on the mean over K of the `held_out` tasks' RMSE."""

    def validate(params: Params) -> float:
        errors = [np.asarray(programs.errors(params, at_k)).mean() for at_k in held_out.values()]
        return float(np.mean(np.sqrt(errors)))

    return job_on(name, built, outer, seed, tasks, validate, programs)


def job_on(
    name: str,
    built: Built,
    outer: Config,
    seed: int,
    tasks: Tasks,
    validate: Callable[[Params], float],
    programs: Programs,
    metric: str = "rmse",
) -> Job:
    """Meta-training on `tasks` by `programs` with early stopping on `validate`, lower being better: a metric, or minus
    one of which more is better."""
    start, root = begin(name, built, outer, seed, tasks, programs.rows)
    steps = total_steps(outer)
    fit = partial(loop.train, programs.chunk, tasks, root=root, steps=steps, validate=validate, patience=outer.patience)
    return Job(start, steps, fit, metric)


def begin(
    name: str, built: Built, outer: Config, seed: int, tasks: Tasks, rows: bool = False
) -> tuple[loop.Run, Array]:
    """A run at step 0, and the key of its steps."""
    init_key, root = jax.random.split(jax.random.fold_in(jax.random.key(seed), _number(name)))
    optimiser = make_optimiser(built, outer, rows)
    if built.params is None:
        return loop.start(built.method, tasks, optimiser, init_key), root
    return loop.start_from(built.params, optimiser), root


def train(name: str, job: Job, seed: int, folder: Path, log: Log) -> Params:
    """The parameters that count, by a run that leaves a checkpoint in `folder` and a line in the log at every chunk."""
    path, run = folder / "checkpoint.msgpack", job.start
    if path.exists():
        run, _ = checkpoint.restore(path, run)
    log.rewind(seed, name, int(run.state.step))
    before = [record["seconds"] for record in log.curve(seed, name)]
    begun = time.perf_counter() - (before[-1] if before else 0.0)
    label, sign, validation = (
        f"{name}, seed {seed}",
        1 if by_name(job.metric).lower_is_better else -1,
        f"valid_{job.metric}",
    )
    with tqdm(total=job.steps, initial=int(run.state.step), desc=f"{label:24}", unit="step", dynamic_ncols=True) as bar:

        def on_chunk(run: loop.Run, progress: loop.Progress) -> None:
            seconds = round(time.perf_counter() - begun, 3)
            record = {"seed": seed, "name": name, "step": progress.step, "loss": progress.loss}
            log.append(record | {validation: sign * float(progress.valid), "seconds": seconds})
            checkpoint.save(path, run, {"name": name, "seed": seed})
            best = sign * float(run.best_value)
            bar.set_postfix({validation: f"{sign * progress.valid:.4f}", "best": f"{best:.4f}"}, refresh=False)
            bar.update(progress.step - bar.n)

        run = job.fit(run, on_chunk=on_chunk)
    return run.state.params if job.last else run.best_params


def _number(name: str) -> int:
    return int.from_bytes(name.encode()[:3], "big")  # a stream of keys of its own for each learner
