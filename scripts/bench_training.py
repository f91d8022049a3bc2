"""How fast is meta-training? Tasks a second, seconds of compiling, memory, and where the time of a step goes.

    scripts/run.sh scripts/bench_training.py --datasets=ml-100k,ml-1m --json=training.json

Every learner trains on real episodes of `support` + `query` ratings, `batch` tasks a step, on one device. The parts of
a step are timed as programs of their own (sampling only, sampling and meta-gradient, optimiser only), round after round
in turn, and the median over rounds is shown, so a busy machine slows all of them alike.
"""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.flags import Flag
from experiments.main import Experiment, Options, chosen, data_dir
from metarec_jax import data
from metarec_jax.data.table import Ratings
from metarec_jax.ops.files import write_atomic
from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.priors.folds import user_folds
from metarec_jax.recipes import RECIPES
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import gradients, loop
from metarec_jax.train.cross_fit import deviating, from_starts, zero
from metarec_jax.train.optimisers import adam
from metarec_jax.train.step import make_train_steps
from metarec_jax.types import Learner, Params, Tasks, TrainState

FLAGS = {"datasets": Flag(flags.DEFINE_list, "ml-100k,ml-1m", "Data sets; step times are compared with the first.")}
HEAD = ("data set", "learner", "tasks/s", "ms/step", "compile s", "memory MB", "sampling", "gradient", "optimiser")


def parts_of_a_step(
    learner: Learner, tasks: Tasks, state: TrainState, batch: int, length: int
) -> dict[str, tuple[Callable, tuple]]:
    """name -> (a jitted scan over `length` steps, its arguments)."""
    optimiser, root = adam(1e-3, 10**6), jax.random.key(0)

    def keys(step: jax.Array) -> jax.Array:
        return jax.random.split(jax.random.fold_in(root, step), batch)

    def sampling(data: Any) -> jax.Array:
        def step(total, number):
            episode = jax.vmap(lambda key: tasks.sample(data, jax.random.split(key)[0]))(keys(number))
            return total + sum(leaf.sum() for leaf in jax.tree.leaves(episode)), None

        return jax.lax.scan(step, jnp.float32(0), jnp.arange(length))[0]

    def gradient(data: Any, params: Params) -> Params:
        gradient_of, (learnt, fixed) = gradients.task_batch_gradient(learner), split_fixed(params)

        def step(gradient, number):  # the last gradient feeds the next step, or none but the last would be computed
            nearby = jax.tree.map(lambda leaf, slope: leaf + 1e-30 * slope, learnt, gradient)
            drawn = gradients.draw_tasks(tasks.sample, data, keys(number))
            return gradient_of(join_fixed(nearby, fixed), drawn, number)[0], None

        return jax.lax.scan(step, jax.tree.map(jnp.zeros_like, learnt), jnp.arange(length))[0]

    def optimise(params: Params, opt_state: Any) -> Params:
        def step(carry, _):
            updates, opt_state = optimiser.update(carry[0], carry[1], carry[0])
            return (jax.tree.map(jnp.add, carry[0], updates), opt_state), None

        return jax.lax.scan(step, (params, opt_state), length=length)[0][0]

    return {
        "sampling": (jax.jit(sampling), (tasks.data,)),
        "gradient": (jax.jit(gradient), (tasks.data, state.params)),
        "optimiser": (jax.jit(optimise), (split_fixed(state.params)[0], state.opt_state)),
    }


def seconds(function: Callable, arguments: tuple) -> float:
    """Of one call, to the end of its work."""
    begun = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begun


def measure(name: str, train: Ratings, options: Options) -> dict[str, float]:
    """The figures of one learner on one data set."""
    built, batch, length = RECIPES[name].build(train), options.batch, options.length
    learner, optimiser, sizes = built.method, adam(1e-3, 10**6), {"support": options.support, "query": options.query}
    if built.start is None:
        tasks = training_tasks(train, **sizes, vary_support=False)
        run = loop.start(learner, tasks, optimiser, jax.random.key(0))
    else:
        folds = training_tasks(train, **sizes, vary_support=False, folds=user_folds(train))
        learner, tasks = deviating(learner, built.params), from_starts(folds, built.start)
        run = loop.start_from(zero(built.params, built.start), optimiser)
    state = jax.device_put(jax.tree.map(jnp.copy, run.state), jax.devices()[0])  # whose buffers are donated
    steps = make_train_steps(learner, tasks.sample, optimiser, batch=batch, length=length)
    begun = time.perf_counter()
    compiled = steps.lower(tasks.data, state, jax.random.key(0)).compile()
    compiling = time.perf_counter() - begun
    memory = compiled.memory_analysis()
    parts = parts_of_a_step(learner, tasks, run.state, batch, length)
    times: dict[str, list[float]] = {part: [] for part in ("step", *parts)}
    for _ in range(options.rounds + 1):
        begun = time.perf_counter()
        state = jax.block_until_ready(compiled(tasks.data, state, jax.random.key(0)))[0]
        times["step"].append(time.perf_counter() - begun)
        for part, (function, arguments) in parts.items():
            times[part].append(seconds(function, arguments))
    median = {part: float(np.median(seconds[1:])) / length for part, seconds in times.items()}  # the first compiles
    step = median["step"]
    return {
        "tasks_per_second": batch / step,
        "step_ms": 1e3 * step,
        "compile_seconds": compiling,
        "memory_mb": (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20,
        "sampling_share": median["sampling"] / step,
        "gradient_share": (median["gradient"] - median["sampling"]) / step,
        "optimiser_share": median["optimiser"] / step,
    }


def work(options: Options) -> None:
    """Measure, print, and write JSON where asked."""
    learners = chosen("learners", options.learners, [name for name, recipe in RECIPES.items() if recipe.training])
    rows = []
    print(f"{options.batch} tasks a step, {options.support} + {options.query} ratings, median of {options.rounds}\n")
    print("{:12} {:10} {:>9} {:>9} {:>10} {:>10} {:>9} {:>9} {:>10}".format(*HEAD), " step against first data set")
    first: dict[str, float] = {}
    for dataset in options.datasets:
        ratings = data.load(dataset, data_dir(options))
        train = ratings.keep_rows(split_users(ratings, seed=0, query=options.query).train_rows)
        for name in learners:
            row = {"dataset": dataset, "learner": name} | measure(name, train, options)
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
    if options.json:
        content = {"rows": rows, "peak_process_mb": peak, "batch": options.batch, "jax": jax.__version__}
        write_atomic(Path(options.json), json.dumps(content, indent=1).encode())


SHARED = ("data_dir", "learners", "batch", "support", "query", "length", "rounds", "json")
main = Experiment("bench_training", __doc__, SHARED, work, {"learners": "all", "query": 10, "length": 200}, own=FLAGS)

if __name__ == "__main__":
    main()
