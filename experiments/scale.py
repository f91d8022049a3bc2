"""One compiled run on a laptop, the same program on a pod: meta-training over devices and hosts.

    scripts/run.sh experiments/scale.py --learner=maml --out=runs/scale
    scripts/run.sh experiments/scale.py --devices=8 --parallel=shard_map --out=runs/eight
    scripts/launch_local.sh 2 experiments/scale.py --learner=maml --out=runs/two
    srun scripts/run.sh experiments/scale.py --cluster --out=runs/pod   # SLURM, Open MPI or a TPU pod tell the rest
    scripts/run.sh experiments/scale.py --columns=columns --id_tables=rows --out=runs/large   # see docs/scale.md

The training users are dealt into --parts, and a host reads into its devices only those that are theirs; a step draws as
many tasks from each part. So the result is the same, up to rounding (with --ordered less of it), on any number of
devices that divides the parts. A run that was killed, in the middle of a save too, goes on from its last whole
checkpoint, on as many devices as there are then. Validation users are split over the hosts and their errors gathered.
Only the first host writes. With --columns ratings stay on the disk, which every host can read, and a host sends its
devices the tasks that they need. --test asks all test users in the end, block by block over devices and hosts.
"""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from tqdm import tqdm

from experiments.common.command_line import one_line_errors, only_flags, parse, refuse
from experiments.common.environment import environment, make_devices
from experiments.common.scale import Sizes, Work, in_columns, in_parts
from metarec_jax import data
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals, predict, streaming
from metarec_jax.eval.compare import ROOTED
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import Built, example, hyperparameters
from metarec_jax.tasks.catalogue import default_threshold
from metarec_jax.train import checkpoint, distributed, loop
from metarec_jax.train import step as chunks
from metarec_jax.train.config import Config
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharded_checkpoint import checkpoints
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Episode, Params

DATASET = flags.DEFINE_enum("dataset", "ml-100k", list(data.DATASETS), "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder.")
COLUMNS = flags.DEFINE_string("columns", None, "Folder of scripts/make_columns.py, instead of a data set.")
FITTED = flags.DEFINE_integer(
    "fit_users",
    10_000,
    "With --columns, training users from whom is taken what is fitted before the training.",
    lower_bound=1,
)
VALID = flags.DEFINE_integer("valid_users", 1000, "With --columns, validation users who are asked.", lower_bound=1)
LEARNER = flags.DEFINE_enum("learner", "maml", list(RECIPES), "Which learner, with its default settings.")
STEPS = flags.DEFINE_integer("steps", 500, "Training steps.", lower_bound=1)
EVERY = flags.DEFINE_integer("every", 100, "Steps between validations and checkpoints.", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 32, "Tasks a step, of all devices together.", lower_bound=1)
SUPPORT = flags.DEFINE_integer("support", 10, "Support ratings.", lower_bound=1)
QUERY = flags.DEFINE_integer("query", 10, "Query ratings.", lower_bound=1)
PARTS = flags.DEFINE_integer("parts", 8, "Parts of the training users; a multiple of all devices.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of split and training.", lower_bound=0)
DEVICES = flags.DEFINE_integer("devices", 1, "Virtual devices of this process, with a CPU only.", lower_bound=1)
PARALLEL = flags.DEFINE_enum("parallel", "jit", ["jit", "shard_map"], "How to spread tasks over devices.")
ID_TABLES = flags.DEFINE_enum(
    "id_tables",
    "dense",
    ["dense", "rows", "sharded"],
    "Update whole tables of ids, or the rows that a step meets, or these with the tables cut over the devices.",
)
ROW_SCALE = flags.DEFINE_bool(
    "row_scale",
    False,
    "One second moment a row of the tables: they and their moments are twice the tables, not 3 times.",
)
ORDERED = flags.DEFINE_bool(
    "ordered",
    False,
    "Add up gradients of parts in one order on any number of devices: less rounding, more to send.",
)
TOGETHER = flags.DEFINE_integer("together", None, "Tasks at a time, gradients added up: less memory.", lower_bound=1)
MATMUL = flags.DEFINE_enum(
    "matmul",
    "float32",
    ["float32", "bfloat16"],
    "What accelerators multiply in; parameters, sums and everything else stay float32. A CPU has no use for it.",
)
TEST = flags.DEFINE_enum(
    "test",
    "none",
    ["none", "ratings", "catalogue"],
    "What test users are asked in the end: nothing; their ratings; these, and where the ones that they like (those "
    "three quarters up the scale) stand among all items.",
)
TEST_USERS = flags.DEFINE_integer("test_users", None, "So many test users, at random, instead of all.", lower_bound=1)
ITEMS = flags.DEFINE_integer("items", 8192, "With --test=catalogue, items scored at a time.", lower_bound=1)
COORDINATOR = flags.DEFINE_string("coordinator", None, "address:port of the first of several processes.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many there are.", lower_bound=1)
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, 0 being the first.", lower_bound=0)
CLUSTER = flags.DEFINE_bool("cluster", False, "Ask the cluster for these three.")
OUT = flags.DEFINE_string("out", "runs/scale", "Folder of checkpoints and results, which all hosts can reach.")

ALGORITHM = {"float32": "float32", "bfloat16": "BF16_BF16_F32"}


def join() -> None:
    """Set the devices of this process, and meet the others."""
    make_devices(DEVICES.value)
    jax.config.update("jax_default_matmul_precision", ALGORITHM[MATMUL.value])
    if CLUSTER.value and COORDINATOR.value:
        raise ValueError("--cluster asks for what --coordinator says: give one of the two.")
    if CLUSTER.value or COORDINATOR.value or PROCESSES.value or PROCESS.value is not None:
        distributed.start(COORDINATOR.value, PROCESSES.value, PROCESS.value)


def work(sharding: Sharding, length: int) -> Work:
    """What the flags say there is to do.

    Raises:
      ValueError: a flag that does nothing beside the others.
    """
    sizes = Sizes(BATCH.value, SUPPORT.value, QUERY.value, length)
    if ID_TABLES.value == "dense":
        refuse([(ROW_SCALE, "goes with --id_tables=rows or sharded")])
    if TEST.value == "none":
        refuse([(TEST_USERS, "goes with --test")])
    if TEST.value != "catalogue":
        refuse([(ITEMS, "goes with --test=catalogue")])
    if COLUMNS.value is None:
        refuse((flag, "goes with --columns") for flag in (FITTED, VALID))
        ratings = data.load(DATASET.value, Path(DATA_DIR.value) if DATA_DIR.value else None)
        return in_parts(ratings, sharding, sizes, parts=PARTS.value, seed=SEED.value)
    refuse((flag, "does not go with --columns") for flag in (DATASET, DATA_DIR, PARTS))
    users = {"fitted": FITTED.value, "validated": VALID.value}
    return in_columns(Path(COLUMNS.value), sharding, sizes, seed=SEED.value, **users)


def make_validate(built: Built, whole: Episode) -> Any:
    """parameters -> RMSE of the validation tasks, each host doing its share of them."""
    number = len(whole.query.mask)
    own = list(distributed.share_of(number))
    tasks = jax.tree.map(lambda leaf: leaf[own], whole)

    def validate(params: Params) -> float:
        errors = predict.mean_squared_errors(built.method, params, tasks)
        return float(np.sqrt(distributed.gather(errors, number).mean()))

    return validate


def ask_test(built: Built, params: Params, todo: Work) -> dict[str, Any]:
    """Metric -> its mean over the test users with its interval, as in results.json."""
    asked = todo.test
    if TEST_USERS.value is not None and TEST_USERS.value < len(asked.names):
        some = np.sort(np.random.default_rng(SEED.value).choice(len(asked.names), TEST_USERS.value, replace=False))
        asked = streaming.HeldOutUsers(asked.names[some], lambda own, size: todo.test.blocks(some[own], size))
    liked = default_threshold(todo.train) if TEST.value == "catalogue" else None
    content, sizes = todo.train.item_features.values, streaming.Sizes(items=ITEMS.value)
    share = len(distributed.share_of(len(asked.names)))
    with tqdm(total=share, desc="test", unit="user", disable=not distributed.is_first()) as bar:
        values = streaming.ask(
            LEARNER.value, built.method, params, content, asked, liked=liked, sizes=sizes, on_block=bar.update
        )
    return {
        metric: intervals.estimate(each, asked.names, metric in ROOTED)._asdict() for metric, each in values.items()
    }


def begin(built: Built, outer: Config, train: Ratings) -> tuple[Any, loop.Run]:
    """The optimiser, and a run at step 0, the same in every process."""
    of_tables = {"rows": ID_TABLES.value != "dense", "one_scale": ROW_SCALE.value}
    optimiser = adam(outer.outer_lr, STEPS.value, weight_decay=outer.weight_decay, rates=built.rates, **of_tables)
    params = built.params
    if params is None:
        params = built.method.init(jax.random.key(SEED.value), example(train))
    return optimiser, loop.start_from(params, optimiser)


def run(folder: Path) -> dict[str, Any]:
    """Train to the end, from wherever an earlier process came to."""
    streamed, length = COLUMNS.value is not None, min(EVERY.value, STEPS.value)
    how = (PARALLEL.value, TOGETHER.value, ID_TABLES.value)
    sharding = Sharding(jax.device_count(), *how, shards=not streamed, deterministic=ORDERED.value, streamed=streamed)
    sharding.check(BATCH.value)
    mesh, todo = sharding.mesh(), work(sharding, length)
    own, outer = hyperparameters(RECIPES[LEARNER.value], {}, LEARNER.value)
    built = RECIPES[LEARNER.value].build(todo.train, **own)
    optimiser, start = begin(built, outer, todo.train)
    start = distributed.placed(start, sharding.of_state(mesh, start))
    sample = todo.tasks.sample
    chunk = chunks.make_train_steps(
        built.method, sample, optimiser, batch=BATCH.value, length=length, sharding=sharding
    )
    root = distributed.key(SEED.value + 1, mesh)
    replicate = jax.jit(lambda tree: tree, out_shardings=jax.tree.map(lambda _: root.sharding, start.state.params))
    validate = make_validate(built, todo.valid)
    begun, history = time.perf_counter(), []
    with checkpoints(folder / "checkpoints") as saved, todo.feed(chunk) as fed:
        fit = partial(loop.train, fed, todo.tasks, root=root, steps=STEPS.value, place=lambda tree: tree)
        if (step := saved.latest()) is not None:
            start = saved.restore(step, start)
        first = int(start.state.step)
        with tqdm(total=STEPS.value, initial=first, unit="step", disable=not distributed.is_first()) as bar:

            def on_chunk(now: loop.Run, progress: loop.Progress) -> None:
                saved.save(progress.step, now)
                history.append(progress._asdict() | {"seconds": round(time.perf_counter() - begun, 3)})
                bar.set_postfix(valid_rmse=f"{progress.valid:.4f}", refresh=False)
                bar.update(progress.step - bar.n)

            last = fit(start, validate=lambda params: validate(distributed.local(replicate(params))), on_chunk=on_chunk)
    asked = {}
    if TEST.value != "none":  # the best on the validation users, for the last may be worse
        asked = {"test": ask_test(built, distributed.local(replicate(last.best_params)), todo)}
    return {
        "params": distributed.local(replicate(last.state.params)),
        "results": {
            "learner": LEARNER.value,
            "dataset": todo.name,
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "steps": int(last.state.step),
            "resumed_at": first,
            "best_valid_rmse": float(last.best_value),
            "history": history,
            "environment": environment(),
            **asked,
        },
    }


def main(argv: list[str]) -> None:
    """Train, and let the first process write and print what came of it."""
    logging.set_verbosity(logging.WARNING)  # orbax tells of every thread
    with one_line_errors():
        only_flags(argv)
        join()
        folder = Path(OUT.value)
        found = run(folder)
        if not distributed.is_first():
            return
        results = found["results"]
        checkpoint.save(folder / "params.msgpack", found["params"], {"step": results["steps"]})
        write_atomic(folder / "results.json", json.dumps(results, indent=1).encode() + b"\n")
    print(f"{results['processes']} processes, {results['devices']} devices, {results['steps']} steps")
    print(f"validation RMSE {results['best_valid_rmse']:.4f}; parameters: {folder / 'params.msgpack'}")
    for metric, value in results.get("test", {}).items():
        interval = f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
        print(f"test {metric:9} {interval} of {value['tasks']} users")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
