"""How fast is meta-training? Tasks a second, seconds of compiling, memory, and where the time of a step goes.

    scripts/run.sh scripts/bench_training.py --datasets=ml-100k,ml-1m --json=training.json

Every learner trains on real episodes of `support` + `query` ratings, `batch` tasks a step, on one device. The parts of
a step are timed as programs of their own (sampling only, sampling and meta-gradient, optimiser only), round after round
in turn, and the median over rounds is shown, so a busy machine slows all of them alike.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from metarec_jax import data
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import hyperparameters
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import gradients, loop
from metarec_jax.train import step as chunks
from metarec_jax.train.optimisers import adam
from metarec_jax.types import Learner, Params, Tasks, TrainState

DATASETS = flags.DEFINE_list("datasets", "ml-100k,ml-1m", "Data sets; step times are compared with the first.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder.")
LEARNERS = flags.DEFINE_list("learners", ",".join(RECIPES), "Which learners.")
BATCH = flags.DEFINE_integer("batch", 32, "Tasks a step.", lower_bound=1)
SUPPORT = flags.DEFINE_integer("support", 10, "Support ratings.", lower_bound=1)
QUERY = flags.DEFINE_integer("query", 10, "Query ratings.", lower_bound=1)
LENGTH = flags.DEFINE_integer("length", 200, "Steps a timed chunk.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 7, "Timed chunks of each kind; the median counts.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "File for the figures.")

HEAD = ("data set", "learner", "tasks/s", "ms/step", "compile s", "memory MB", "sampling", "gradient", "optimiser")


def chunk_parts(learner: Learner, tasks: Tasks, state: TrainState) -> dict[str, tuple[Callable, tuple]]:
    """name -> (a jitted scan over LENGTH steps, its arguments)."""
    optimiser = adam(1e-3, 10**6)
    batch, root = BATCH.value, jax.random.key(0)

    def keys(step: jax.Array) -> jax.Array:
        return jax.random.split(jax.random.fold_in(root, step), batch)

    def sampling(data: Any) -> jax.Array:
        def step(total, number):
            episode = jax.vmap(lambda key: tasks.sample(data, jax.random.split(key)[0]))(keys(number))
            return total + sum(leaf.sum() for leaf in jax.tree.leaves(episode)), None

        return jax.lax.scan(step, jnp.float32(0), jnp.arange(LENGTH.value))[0]

    def gradient(data: Any, params: Params) -> Params:
        gradient_of = gradients.task_batch_gradient(learner)

        def step(found, number):  # the last gradient feeds the next step, or none but the last would be computed
            nearby = jax.tree.map(lambda leaf, slope: leaf + 1e-30 * slope, params, found)
            return gradient_of(nearby, gradients.draw_tasks(tasks.sample, data, keys(number)), number)[0], None

        return jax.lax.scan(step, jax.tree.map(jnp.zeros_like, params), jnp.arange(LENGTH.value))[0]

    def optimise(params: Params, opt_state: Any) -> Params:
        def step(carry, _):
            updates, opt_state = optimiser.update(carry[0], carry[1], carry[0])
            return (jax.tree.map(jnp.add, carry[0], updates), opt_state), None

        return jax.lax.scan(step, (params, opt_state), length=LENGTH.value)[0][0]

    return {
        "sampling": (jax.jit(sampling), (tasks.data,)),
        "gradient": (jax.jit(gradient), (tasks.data, state.params)),
        "optimiser": (jax.jit(optimise), (state.params, state.opt_state)),
    }


def seconds(function: Callable, arguments: tuple) -> float:
    """Of one call, to the end of its work."""
    begun = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begun


def measure(name: str, train: Ratings) -> dict[str, float]:
    """The figures of one learner on one data set."""
    own, _ = hyperparameters(RECIPES[name], {}, name)
    built = RECIPES[name].build(train, **own)
    learner, optimiser = built.method, adam(1e-3, 10**6)
    tasks = training_tasks(train, support=SUPPORT.value, query=QUERY.value, vary_support=False)
    run = loop.start(learner, tasks, optimiser, jax.random.key(0))
    state = jax.device_put(jax.tree.map(jnp.copy, run.state), jax.devices()[0])  # the chunk donates its buffers
    chunk = chunks.make_train_steps(learner, tasks.sample, optimiser, batch=BATCH.value, length=LENGTH.value)
    begun = time.perf_counter()
    compiled = chunk.lower(tasks.data, state, jax.random.key(0)).compile()
    compiling = time.perf_counter() - begun
    memory = compiled.memory_analysis()
    parts = chunk_parts(learner, tasks, run.state)
    times: dict[str, list[float]] = {part: [] for part in ("step", *parts)}
    for _ in range(ROUNDS.value + 1):
        begun = time.perf_counter()
        state = jax.block_until_ready(compiled(tasks.data, state, jax.random.key(0)))[0]
        times["step"].append(time.perf_counter() - begun)
        for part, (function, arguments) in parts.items():
            times[part].append(seconds(function, arguments))
    median = {part: float(np.median(found[1:])) / LENGTH.value for part, found in times.items()}  # the first compiles
    step = median["step"]
    return {
        "tasks_per_second": BATCH.value / step,
        "step_ms": 1e3 * step,
        "compile_seconds": compiling,
        "memory_mb": (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20,
        "sampling_share": median["sampling"] / step,
        "gradient_share": (median["gradient"] - median["sampling"]) / step,
        "optimiser_share": median["optimiser"] / step,
    }


def main(argv: list[str]) -> None:
    """Measure, print, and write JSON where asked."""
    if len(argv) > 1:
        sys.exit(f"error: {argv[1]!r} is not a flag; flags are written --name=value.")
    if unknown := [name for name in LEARNERS.value if name not in RECIPES]:
        sys.exit(f"error: --learners: unknown {unknown[0]!r}; choose some of {', '.join(RECIPES)}.")
    rows = []
    print(f"{BATCH.value} tasks a step, {SUPPORT.value} + {QUERY.value} ratings, median of {ROUNDS.value}\n")
    print("{:12} {:10} {:>9} {:>9} {:>10} {:>10} {:>9} {:>9} {:>10}".format(*HEAD), " step against first data set")
    first: dict[str, float] = {}
    for dataset in DATASETS.value:
        try:
            ratings = data.load(dataset, Path(DATA_DIR.value) if DATA_DIR.value else None)
        except DataError as error:
            sys.exit(f"error: {error}")
        train = ratings.keep_rows(split_users(ratings, seed=0, query=QUERY.value).train_rows)
        for name in LEARNERS.value:
            row = {"dataset": dataset, "learner": name} | measure(name, train)
            ratio = row["step_ms"] / first.setdefault(name, row["step_ms"])
            rows.append(row | {"step_ratio": ratio})
            print(
                f"{dataset:12} {name:10} {row['tasks_per_second']:9,.0f} {row['step_ms']:9.2f} "
                f"{row['compile_seconds']:10.1f} {row['memory_mb']:10.1f} {row['sampling_share']:9.1%} "
                f"{row['gradient_share']:9.1%} {row['optimiser_share']:10.1%}  {ratio:.2f}",
                flush=True,
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\nPeak memory of the process: {peak:,} MB")
    if JSON.value:
        found = {"rows": rows, "peak_process_mb": peak, "batch": BATCH.value, "jax": jax.__version__}
        write_atomic(Path(JSON.value), json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    app.run(main)
