"""One compiled run on a laptop, the same program on a pod: meta-training over devices and hosts.

    scripts/run.sh experiments/scale.py --learner=maml_network --out=runs/scale
    scripts/run.sh experiments/scale.py --devices=8 --parallel=shard_map --out=runs/eight
    scripts/launch_local.sh 2 experiments/scale.py --learner=maml_network --out=runs/two
    srun scripts/run.sh experiments/scale.py --cluster --out=runs/pod   # SLURM, Open MPI or a TPU pod tell the rest
    scripts/run.sh experiments/scale.py --columns_dir=columns --id_tables=rows --out=runs/large   # see docs/scale.md

The training users are dealt into --shards, and a host reads into its devices only those that are theirs; a step draws
as many tasks from each shard. So the result is the same, up to rounding (with --deterministic less of it), on any
number of devices that divides the shards. A run that was killed, in the middle of a save too, goes on from its last
whole checkpoint, on as many devices as there are then; one that is done shows what it found. Validation users are split
over the hosts and their errors gathered. Only the first host writes. With --columns_dir ratings stay on the disk, which
every host can read, and a host sends its devices the tasks that they need. --test asks all test users in the end, block
by block over devices and hosts.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
from absl import logging

from experiments import learner
from experiments import main as door
from experiments.flags import DEVICES, SCALE
from experiments.main import Experiment, Idle, Options
from metarec_jax import data
from metarec_jax.benchmarks.scale import ScaleConfig, run
from metarec_jax.recipes import RECIPES
from metarec_jax.train import distributed

ALGORITHM = {"float32": "float32", "bfloat16": "BF16_BF16_F32"}


def join(options: Options) -> None:
    """Set the devices of this process, and meet the others."""
    if options.cluster and options.coordinator:
        raise ValueError("--cluster asks for what --coordinator says: give one of the two.")
    door.make_devices(options.devices)
    jax.config.update("jax_default_matmul_precision", ALGORITHM[options.matmul])
    if options.cluster or options.coordinator or options.processes or options.process is not None:
        distributed.start(options.coordinator, options.processes, options.process)


def idle(options: Options) -> Idle:
    """Flags that do nothing beside the others, and why."""
    if options.id_tables == "dense":
        yield "row_scale", "goes with --id_tables=rows or sharded"
    if options.test == "none":
        yield "test_users", "goes with --test"
    if options.test != "catalogue":
        yield "items", "goes with --test=catalogue"
    if options.columns_dir is None:
        yield from ((name, "goes with --columns_dir") for name in ("fit_users", "valid_users"))
    else:
        yield from ((name, "does not go with --columns_dir") for name in ("dataset", "data_dir", "shards"))


def work(options: Options) -> None:
    """Train, and let the first process write and print what came of it; or show what an earlier run found."""
    logging.set_verbosity(logging.WARNING)  # orbax tells of every thread
    recipe = RECIPES[learner.named(options, [name for name, recipe in RECIPES.items() if recipe.training])]
    config = ScaleConfig(**{field.name: getattr(options, field.name) for field in dataclasses.fields(ScaleConfig)})
    join(options)
    config.sharding(streamed=options.columns_dir is not None)  # is in order, before anything is read
    stamp = options.stamp(idle(options))
    columns = Path(options.columns_dir) if options.columns_dir else None
    store = door.open_workdir(options, stamp, f"{columns.name if columns else options.dataset}-{recipe.name}", "out")
    done = store.load_json("results.json", "delete it, and the same command trains to the end.")
    if not distributed.agreed(done is not None):
        result = run(recipe, columns or data.load(options.dataset, door.data_dir(options)), config, store)
        if distributed.is_first():
            result.save(store)
            show(result.results, store.folder)
    elif distributed.is_first():
        print(f"{store.folder} is done already; this is what it found.\n")
        show(done, store.folder)


def show(results: dict[str, Any], folder: Path) -> None:
    """Print what was found, and where the rest is."""
    print(f"{results['processes']} processes, {results['devices']} devices, {results['steps']} steps")
    print(f"validation RMSE {results['best_valid_rmse']:.4f}; parameters: {folder / 'params.msgpack'}")
    for metric, value in results.get("test", {}).items():
        interval = f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
        print(f"test {metric:9} {interval} of {value['tasks']} users")


FLAGS = ("dataset", "data_dir", "learner", "steps", "support", "query", "seed", "out", *DEVICES, *SCALE)
DEFAULTS = {"learner": "maml_network", "steps": 500, "query": 10}
main = Experiment("scale", __doc__, FLAGS, work, DEFAULTS)

if __name__ == "__main__":
    main()
