"""How do the time and memory of a training step grow? With ratings, users, items, width, tasks, inner steps, devices.

    scripts/run.sh scripts/bench_scaling.py --json=scaling.json
    scripts/run.sh scripts/bench_scaling.py --axes=items --values=10000,10000000 --rounds=9
    scripts/run.sh scripts/bench_scaling.py --axes=devices --chips=8,64,512

Exact MAML on made-up ratings, one thing varied at a time, tables of ids trained row by row. The points of an axis take
turns, round after round, and the median counts. The exponent is the slope of log time over log size: 0 is flat, 1 is
proportional. "scratch" is what the compiled step needs beside its arguments, "state" the parameters and their moments,
and "x table" all of it over the tables of ids alone. Several inner steps are checkpointed; "by fours" the tasks of a
step are worked on four at a time as well. Devices are virtual ones of this machine: their time says nothing, and what
they send to each other is read from the compiled program (`collectives.py`), for as many --chips as asked.
"""

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from experiments.flags import Flag
from experiments.main import Experiment, Options, chosen
from metarec_jax.data.table import Features, Ratings
from metarec_jax.learners.gradient.imaml import imaml
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.recommender import RatingNet
from metarec_jax.objectives import squared_error
from metarec_jax.ops.files import write_atomic
from metarec_jax.params import in_table
from metarec_jax.tasks.shards import sharded_tasks
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import distributed, loop
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding, TableUpdates
from metarec_jax.train.step import make_train_steps
from metarec_jax.types import Learner, Tasks
from scripts.collectives import Sent, operations

SIZES: dict[str, list[int]] = {
    "ratings": [100_000, 1_000_000, 10_000_000],
    "users": [1_000, 10_000, 100_000],
    "items": [10_000, 100_000, 1_000_000, 10_000_000],
    "width": [16, 32, 64, 128],
    "tasks": [8, 32, 128, 512],
    "inner_steps": [1, 5, 10, 50],
    "inner_steps_by_fours": [1, 5, 10, 50],
    "inner_steps_imaml": [1, 5, 10, 50],
}
FLAGS = {
    "axes": Flag(flags.DEFINE_list, "all", "What is varied, or all."),
    "values": Flag(flags.DEFINE_list, None, "Sizes, where one axis is asked for."),
    "chips": Flag(
        flags.DEFINE_list, "8,64,512", "Devices for which the program is compiled and what it sends counted."
    ),
    "id_tables": Flag(flags.DEFINE_enum, "rows", "How tables of ids are trained.", {"enum_values": ["dense", "rows"]}),
}
SUPPORT, QUERY = 10, 10


class Point(NamedTuple):
    """What is measured: one of these differs from the rest of its axis."""

    ratings: int = 100_000
    users: int = 1_000
    items: int = 10_000
    width: int = 32  # of the id vectors
    tasks: int = 32
    inner_steps: int = 1
    inner_steps_imaml: int = 0  # above 0: iMAML with so many, instead of MAML
    microbatch: int | None = None  # tasks at a time, whose gradients are added up; None: all


def point_of(axis: str, size: int) -> Point:
    """The point of an axis."""
    if axis == "inner_steps_by_fours":
        return Point(inner_steps=size, microbatch=4)
    return Point(**{axis: size} | ({"ratings": 20 * size} if axis == "users" else {}))


def random_ratings(point: Point) -> Ratings:
    """A table of these sizes; who rated what means nothing."""
    rng, each = np.random.default_rng(0), point.ratings // point.users
    user = np.repeat(np.arange(point.users, dtype=np.int32), each)
    item = rng.integers(0, point.items, len(user), dtype=np.int32)
    rating = rng.integers(1, 6, len(user)).astype(np.float32)
    names = [np.broadcast_to(np.array(name), number) for name, number in (("u", point.users), ("i", point.items))]
    features = [Features([], np.zeros((number, 0), np.float32)) for number in (point.users, point.items)]
    return Ratings("made up", user, item, rating, None, *names, *features, names[1], "", "")


def learner_of(point: Point) -> Learner:
    """MAML, whose long inner loops keep few of their steps, or iMAML."""
    net = RatingNet(point.items, 3.0, id_dim=point.width, hidden=(64, 64))
    if point.inner_steps_imaml:
        return imaml(net, squared_error, lam=1.0, lr=0.1, steps=point.inner_steps_imaml)
    return maml(net, squared_error, lr=0.1, steps=point.inner_steps, checkpoint=point.inner_steps > 1)


def optimiser_of(kind: str, row_scale: bool) -> optax.GradientTransformation:
    """Adam, for a way of training tables."""
    rows = kind != "dense"
    return adam(1e-3, 10**6, rows=rows, row_wise=rows and row_scale)


class Program:
    """The compiled steps of a point, with their state."""

    def __init__(self, point: Point, options: Options):
        tasks, learner = training_tasks(random_ratings(point), support=SUPPORT, query=QUERY), learner_of(point)
        optimiser = optimiser_of(options.id_tables, options.row_scale)
        self.data, self.key, self.length = tasks.data, jax.random.key(1), options.length
        sharding = Sharding(id_tables=options.id_tables, microbatch=point.microbatch)
        steps = make_train_steps(
            learner, tasks.sample, optimiser, batch=point.tasks, length=self.length, sharding=sharding
        )
        self.state = loop.start(learner, tasks, optimiser, jax.random.key(0)).state
        self.state = jax.device_put(self.state, jax.devices()[0])
        self.compiled = steps.lower(self.data, self.state, self.key).compile()
        leaves = jax.tree_util.tree_flatten_with_path(self.state.params)[0]
        self.table = sum(leaf.nbytes for path, leaf in leaves if in_table(path))
        self.whole = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state))
        self.scratch = self.compiled.memory_analysis().temp_size_in_bytes

    def step(self) -> float:
        """Seconds a step."""
        begun = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.compiled(self.data, self.state, self.key))
        return (time.perf_counter() - begun) / self.length


def along(axis: str, sizes: list[int], options: Options) -> list[dict[str, Any]]:
    """The rows of an axis, and its exponent in each."""
    programs = {size: Program(point_of(axis, size), options) for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(options.rounds + 1):
        for size, program in programs.items():
            times[size].append(program.step())
    medians = {size: float(np.median(seconds[1:])) for size, seconds in times.items()}  # the first warms up
    slope = np.polyfit(np.log(sizes), np.log(list(medians.values())), 1)[0] if len(sizes) > 1 else float("nan")
    return [
        {
            "axis": axis,
            "size": size,
            "step_ms": 1e3 * medians[size],
            "ratio": medians[size] / medians[sizes[0]],
            "scratch_mb": program.scratch / 2**20,
            "state_mb": program.whole / 2**20,
            "x_table": (program.whole + program.scratch) / program.table,
            "exponent": float(slope),
        }
        for size, program in programs.items()
    ]


def sent(chips: int, kind: TableUpdates, items: int, row_scale: bool) -> list[Sent]:
    """What one step on so many devices sends, 4 tasks on each."""
    point = Point(ratings=20 * max(1_000, chips), users=max(1_000, chips), items=items, tasks=4 * chips)
    sharding = Sharding(chips, id_tables=kind, shards=True)
    mesh, learner = sharding.mesh(), learner_of(point)
    tasks = sharded_tasks(random_ratings(point), shards=chips, local=range(chips), support=SUPPORT, query=QUERY)
    first_shard = Tasks(jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), tasks.data), tasks.sample)
    optimiser = optimiser_of(kind, row_scale)
    state = jax.eval_shape(lambda: loop.start(learner, first_shard, optimiser, jax.random.key(0)).state)
    places = sharding.of_state(mesh, state)
    state = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), state, places
    )
    place = sharding.of_data(mesh)
    data = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tasks.data)
    steps = make_train_steps(learner, tasks.sample, optimiser, batch=point.tasks, length=2, sharding=sharding)
    return operations(steps.lower(data, state, distributed.key(0, mesh)).compile().as_text())


def between_devices(chips: list[int], row_scale: bool) -> list[dict[str, Any]]:
    """A row for each number of chips and way of training tables, with 65,536 items (32 MB with moments)."""
    rows = []
    for number in chips:
        for kind in ("dense", "rows", "sharded"):
            sent_operations = sent(number, kind, 65_536, row_scale)
            each = sum(operation.by_each(number) for operation in sent_operations)
            rows.append(
                {
                    "axis": "devices",
                    "size": number,
                    "id_tables": kind,
                    "operations": len(sent_operations),
                    "bytes": each,
                }
            )
            operations = f"{len(sent_operations):3} operations, {each / 1e3:10,.1f} kB sent by each"
            print(f"devices      {number:>10,} {kind:8} {operations}")
    return rows


def asked(options: Options) -> dict[str, list[int]]:
    """Axis -> sizes, none of devices.

    Raises:
      ValueError: an unknown axis, sizes for several, or a flag that does nothing beside the others.
    """
    axes = chosen("axes", options.axes, [*SIZES, "devices"])
    if options.values and (len(axes) > 1 or axes == ["devices"]):
        raise ValueError("--values: give one axis by --axes; for devices, give --chips.")
    if options.row_scale and options.id_tables == "dense":
        raise ValueError("--row_scale goes with --id_tables=rows.")
    return {axis: [int(value) for value in options.values or SIZES.get(axis, [])] for axis in axes}


def work(options: Options) -> None:
    """Measure, print, and write JSON where asked."""
    sizes, chips = asked(options), [int(number) for number in options.chips]
    os.environ.setdefault("NPROC", "16")  # threads enough for collectives on virtual devices; read when jax starts
    if "devices" in sizes:
        jax.config.update("jax_num_cpu_devices", max(chips))
    rows: list[dict[str, Any]] = []
    print(f"{'axis':20} {'size':>10} {'ms/step':>8} {'ratio':>6} {'scratch MB':>10} {'state MB':>9} {'x table':>8}")
    for axis in (name for name in sizes if name != "devices"):
        axis_rows = along(axis, sizes[axis], options)
        for row in axis_rows:
            print(
                f"{axis:20} {row['size']:>10,} {row['step_ms']:8.2f} {row['ratio']:6.2f} {row['scratch_mb']:10.1f} "
                f"{row['state_mb']:9.1f} {row['x_table']:8.2f}",
                flush=True,
            )
        print(f"{axis:20} exponent of time {axis_rows[0]['exponent']:.2f}\n")
        rows += axis_rows
    rows += between_devices(chips, options.row_scale) if "devices" in sizes else []
    if options.json:
        content = {"rows": rows, "jax": jax.__version__, "cores": os.cpu_count()}
        write_atomic(Path(options.json), json.dumps(content, indent=1).encode())


SHARED = ("row_scale", "length", "rounds", "json")
main = Experiment("bench_scaling", __doc__, SHARED, work, {"length": 50}, own=FLAGS)

if __name__ == "__main__":
    main()
