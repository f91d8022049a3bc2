"""Exact MAML here and in PyTorch: how long does a whole training step take, and is it the same step?

    scripts/run.sh scripts/bench_peers.py --torch_python=INTERPRETER_WITH_TORCH --json=peers.json --plot=peers.png

Two jobs: "recommendation" (the recipe's network of ids and side features on a ratings table) and "sinusoid" (the
network of the sinusoid experiment). A step here samples its episodes, takes the exact meta-gradient, clips it and
moves by Adam, many steps as one compiled program. PyTorch starts from the same weights and does the same in three ways:
task after task (`maml_loop`), by torch.func (`maml_vmap`), and by torch.compile of that (`maml_compile`). It is given
episodes that have been drawn before, so what sampling costs is in our time and not in PyTorch's. Of the first step,
whose tasks are the same, how far apart the norms of the gradients are is shown.

All take turns, round after round; the median over rounds counts, and the first round, with what is compiled in it, does
not. A busy machine does not slow all alike: beside the clock's time there is that of a step's threads on a processor.
Without --torch_python our figures stand alone.
"""

import json
import os
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import flags
from flax import traverse_util
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.flags import Flag
from experiments.main import Experiment, Options, chosen, data_dir
from metarec_jax import data
from metarec_jax.benchmarks.sinusoid import RECIPES, TRAINING_QUERY
from metarec_jax.data.table import Ratings
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import squared_error
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes.base import hyperparameters, rating_net
from metarec_jax.report.plots import dress, save_figure
from metarec_jax.tasks.sinusoid import sinusoids
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import gradients, loop
from metarec_jax.train.optimisers import adam
from metarec_jax.train.step import make_train_steps
from metarec_jax.types import Examples, Inputs, Learner, Params, Tasks
from scripts.peers.process import Ask, peer

WAYS = ("maml_loop", "maml_vmap", "maml_compile")
FLAGS = {
    "jobs": Flag(flags.DEFINE_list, "all", "Which jobs, or all."),
    "peers": Flag(flags.DEFINE_list, "all", "In which ways PyTorch does them, or all."),
    "plot": Flag(flags.DEFINE_string, None, "PNG file for a plot of the figures."),
}

PEER = Path(__file__).parent / "peers" / "torch_maml.py"
CLIP = 10.0  # of the meta-gradient's norm
GIVEN = 20  # batches that PyTorch goes round and round
COLOURS = {"here": "#0072B2", "maml_loop": "0.75", "maml_vmap": "0.6", "maml_compile": "0.45"}


class Work(NamedTuple):
    """What is to be done, for whoever does it."""

    learner: Learner
    tasks: Tasks
    batch: int
    lr: float  # Adam's
    settings: dict[str, float]  # what else PyTorch has to know, by name


def recommendation(train: Ratings, options: Options) -> Work:
    """Exact MAML on a ratings table: two layers of 64, 32-wide ids, the recipe's inner rate and prior count."""
    net = rating_net(train, id_dim=32, width=64)
    inner = {"inner_lr": 0.05, "prior_count": 5.0}
    learner = maml(
        net, squared_error, lr=inner["inner_lr"], steps=options.inner_steps, prior_count=inner["prior_count"]
    )
    tasks = training_tasks(train.standardised, support=options.support, query=options.query, vary_support=False)
    return Work(learner, tasks, options.batch, 1e-3, inner)


def sinusoid(options: Options) -> Work:
    """The sinusoid experiment's MAML."""
    recipe = RECIPES["maml"]
    own, outer = hyperparameters(recipe)
    tasks = sinusoids(support=options.support, query=TRAINING_QUERY)
    inner = {"inner_lr": own["lr"], "prior_count": 0.0}
    learner = recipe.build(None, lr=own["lr"], inner_steps=options.inner_steps).method
    return Work(learner, tasks, outer.batch, outer.outer_lr, inner)


class Job:
    """A training run here, and what PyTorch needs to take the same steps."""

    def __init__(self, work: Work, length: int, inner_steps: int):
        self.work, self.length, self.inner_steps, self.root = work, length, inner_steps, jax.random.key(1)
        optimiser = adam(work.lr, 10**6, clip=CLIP)
        state = loop.start(work.learner, work.tasks, optimiser, jax.random.key(0)).state
        self.state = jax.device_put(state, jax.devices()[0])
        self.params = jax.tree.map(np.asarray, self.state.params)  # copied: the state's buffers are donated
        self.steps = make_train_steps(work.learner, work.tasks.sample, optimiser, batch=work.batch, length=length)

    @cached_property
    def compiled(self) -> tuple[Callable, float]:
        """The steps as a program, and the seconds of compiling it."""
        begun = time.perf_counter()
        program = self.steps.lower(self.work.tasks.data, self.state, self.root).compile()
        return program, time.perf_counter() - begun

    def seconds(self) -> tuple[float, float]:
        """Of a step, over `length` of them: by the clock, and of all threads on a processor."""
        program, _ = self.compiled
        begun, worked = time.perf_counter(), time.process_time()
        self.state, _ = jax.block_until_ready(program(self.work.tasks.data, self.state, self.root))
        return (time.perf_counter() - begun) / self.length, (time.process_time() - worked) / self.length

    def drawn(self, step: int) -> gradients.Drawn:
        """The tasks of a step."""
        keys = jax.random.split(jax.random.fold_in(self.root, step), self.work.batch)
        return jax.jit(gradients.draw_tasks, static_argnums=0)(self.work.tasks.sample, self.work.tasks.data, keys)

    def gradient(self) -> Params:
        """The meta-gradient of the first step."""
        return jax.jit(gradients.task_batch_gradient(self.work.learner))(self.params, self.drawn(0), 0)[0]

    def for_torch(self) -> dict[str, Any]:
        """Settings; weights `as_torch`; and the episodes of the first steps, [GIVEN, T, N, ...]."""
        episodes = [self.drawn(step)[0] for step in range(GIVEN)]
        support, query = jax.tree.map(lambda *leaves: np.stack(leaves), *episodes)
        settings = self.work.settings | {"lr": self.work.lr, "clip": CLIP}
        return (
            {name: np.float32(value) for name, value in settings.items()}
            | {"inner_steps": np.int64(self.inner_steps)}
            | {f"weights/{name}": part for name, part in as_torch(self.params).items()}
            | {f"support/{name}": column for name, column in columns(support).items()}
            | {f"query/{name}": column for name, column in columns(query).items()}
        )


def as_torch(params: Params) -> dict[str, np.ndarray]:
    """Parameters, or a gradient, by path; kernels as [out, in]."""
    flat = traverse_util.flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    return {name: np.ascontiguousarray(part.T) if name.endswith("kernel") else part for name, part in flat.items()}


def columns(examples: Examples) -> dict[str, Any]:
    """Examples as named arrays; ids as int64, the context in every row, and no side features where there are none."""
    x = examples.x._asdict() if isinstance(examples.x, Inputs) else {"x": examples.x}
    if "context" in x:
        x["context"] = np.repeat(x["context"][..., None, :], x["id"].shape[-1], axis=-2)
    named = {name: part.astype(np.int64) if name == "id" else part for name, part in x.items()}
    return {"y": examples.y, "mask": examples.mask} | {name: part for name, part in named.items() if part.shape[-1]}


def measure(jobs: dict[str, Job], ask: Ask | None, ways: list[str], rounds: int) -> list[dict[str, Any]]:
    """The rows of all jobs: `rows_of` what their rounds took; `ways`: of PyTorch."""
    ways = ways if ask else []
    times: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {who: [] for who in ("here", *ways)} for name in jobs
    }
    answers: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            times[name]["here"].append(job.seconds())
            for way in ways:
                answers[name, way] = ask(f"{name} {way}")
                times[name][way].append((answers[name, way]["seconds"], answers[name, way]["cpu"]))
    rows = []
    for name, job in jobs.items():
        norms = {"here": float(optax.tree.norm(job.gradient()))} | {way: answers[name, way]["norm"] for way in ways}
        compiling = {"here": job.compiled[1]}
        compiling |= {way: answers[name, way]["first_seconds"] for way in ways if way == "maml_compile"}
        rows += rows_of(
            name, job.work.batch, {who: clocks[1:] for who, clocks in times[name].items()}, norms, compiling
        )
    return rows


def rows_of(
    job: str, batch: int, times: dict[str, list], norms: dict[str, float], compiling: dict[str, float]
) -> list[dict[str, Any]]:
    """A row for each who did a job of `batch` tasks a step, from the seconds of a step in each round (see `seconds`).

    "ratio" and "cpu_ratio" are medians over those of "here", and "spread" is half the distance between the quartiles
    over the median.
    """
    rows, (ours, our_cpu) = [], np.median(times["here"], 0)
    for who, clocks in times.items():
        low, middle, high = (float(value) for value in np.quantile([clock for clock, _ in clocks], [0.25, 0.5, 0.75]))
        cpu = float(np.median([cpu for _, cpu in clocks]))
        row = {"job": job, "who": who, "step_ms": 1e3 * middle, "tasks_per_second": batch / middle}
        row |= {"ratio": middle / float(ours), "spread": (high - low) / 2 / middle}
        row |= {"cpu_ms": 1e3 * cpu, "cpu_ratio": cpu / float(our_cpu)}
        row |= {"compile_seconds": compiling.get(who), "norm_difference": abs(norms[who] / norms["here"] - 1)}
        rows.append(row)
    return rows


def figure_of(rows: list[dict[str, Any]]) -> Figure:
    """Tasks a second of everybody, a panel a job, on a logarithmic axis."""
    names = list(dict.fromkeys(row["job"] for row in rows))
    figure = Figure(figsize=(5.2 * len(names), 0.9 + 0.55 * len(rows) / len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = [row for row in rows if row["job"] == name][::-1]
        speeds = [row["tasks_per_second"] for row in own]
        bars = axis.barh([row["who"] for row in own], speeds, color=[COLOURS[row["who"]] for row in own])
        axis.bar_label(bars, [f"{row['step_ms']:.2f} ms, x{row['ratio']:.1f}" for row in own], padding=4, fontsize=8.5)
        axis.set_xscale("log")
        axis.set_xlim(min(speeds) / 2, max(speeds) * 6)
        dress(axis, name, "tasks a second", "higher is better")
        axis.grid(False, axis="y")
    return figure


def make_jobs(options: Options, names: list[str]) -> dict[str, Job]:
    """Those asked for."""
    jobs = {}
    for name in names:
        if name == "sinusoid":
            work = sinusoid(options)
        else:
            ratings = data.load(options.dataset, data_dir(options))
            train = ratings.keep_rows(split_users(ratings, seed=0, query=options.query).train_rows)
            work = recommendation(train, options)
        jobs[name] = Job(work, options.length, options.inner_steps)
    return jobs


def print_table(rows: list[dict[str, Any]], options: Options) -> None:
    """A line a row; "x ours" by the clock and by the processors' time."""
    print(
        f"inner steps: {options.inner_steps}; median of {options.rounds} rounds; PyTorch's threads: {options.threads}\n"
    )
    print(
        f"{'job':15} {'who':13} {'ms/step':>8} {'spread':>7} {'tasks/s':>9} {'x ours':>7} {'cpu ms':>8} {'x ours':>7} "
        f"{'compile s':>10} {'norms apart':>12}"
    )
    for row in rows:
        compiling = "" if row["compile_seconds"] is None else f"{row['compile_seconds']:.1f}"
        print(
            f"{row['job']:15} {row['who']:13} {row['step_ms']:8.3f} {row['spread']:7.1%} "
            f"{row['tasks_per_second']:9,.0f} {row['ratio']:7.2f} {row['cpu_ms']:8.3f} {row['cpu_ratio']:7.2f} "
            f"{compiling:>10} {row['norm_difference']:12.1e}"
        )


def work(options: Options) -> None:
    """Measure, print, and write JSON and a plot where asked."""
    ways = chosen("peers", options.peers, WAYS)
    jobs = make_jobs(options, chosen("jobs", options.jobs, ("recommendation", "sinusoid")))
    given = {f"{name}/{key}": part for name, job in jobs.items() for key, part in job.for_torch().items()}
    with peer(options.torch_python, PEER, given, options.threads) as ask:
        rows = measure(jobs, ask, ways, options.rounds)
    print_table(rows, options)
    if options.json:
        content = {"rows": rows, "inner_steps": options.inner_steps, "rounds": options.rounds}
        content |= {"threads": options.threads, "dataset": options.dataset, "jax": jax.__version__}
        write_atomic(Path(options.json), json.dumps(content | {"cores": os.cpu_count()}, indent=1).encode())
    if options.plot:
        save_figure(figure_of(rows), options.plot)


SHARED = (
    "dataset", "data_dir", "batch", "support", "query", "inner_steps", "length", "rounds", "torch_python", "threads",
    "json",
)  # fmt: skip
main = Experiment("bench_peers", __doc__, SHARED, work, {"query": 10, "length": 400}, own=FLAGS)

if __name__ == "__main__":
    main()
