"""How fast are convolutions under second order on a CPU? One meta-gradient, beside plain PyTorch doing the same work.

    scripts/run.sh scripts/bench_conv.py --torch_python=INTERPRETER_WITH_TORCH --json=conv.json

Two jobs: the exact meta-gradient of MAML (Conv4 with max-pools, 5-way 1-shot) and the gradient of a ProtoNet episode
of 60 ways. They run in turn with PyTorch's, round after round, so that a busy machine slows both alike; each twice in a
row, of which the second counts, and of the rounds the median. Both start from the same weights and pictures, and how
far apart the norms of the gradients are is shown. Without --torch_python the figures stand alone.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh, PartitionSpec

from experiments.flags import Flag
from experiments.main import Experiment, Options
from metarec_jax.data.classes import Classes
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.models.conv4 import Classifier, Conv4
from metarec_jax.objectives import cross_entropy
from metarec_jax.ops.files import write_atomic
from metarec_jax.tasks.n_way import n_way
from metarec_jax.train import gradients
from metarec_jax.types import Episode, Learner, Params, Tasks
from scripts.peers.process import Ask, peer

FLAGS = {
    "tasks": Flag(flags.DEFINE_integer, 32, "Tasks of MAML's meta-gradient.", {"lower_bound": 1}),
    "ways": Flag(flags.DEFINE_integer, 60, "Classes of ProtoNet's episode, of 5 + 5 pictures.", {"lower_bound": 2}),
}

T = TypeVar("T")
INNER_LR = 0.01
PAUSE = 0.5  # seconds before a job: for 0.2 after the last one threads of either side keep a core busy waiting
PEER = Path(__file__).parent / "peers" / "torch_conv.py"
PEERS_OF = {"maml": ("maml_loop", "maml_vmap"), "protonet": ("protonet",)}


def pictures() -> Classes:
    """Noise with as much ink as characters have: 100 classes of 20."""
    x = (np.random.default_rng(0).random((2000, 28, 28)) < 0.1).astype(np.uint8)
    parts = {"train": np.arange(100), "valid": np.arange(0), "test": np.arange(0)}
    return Classes("noise", x, np.arange(101) * 20, [str(label) for label in range(100)], parts, "")


class Job:
    """One of the two: the compiled gradient, its arguments, and its episodes for PyTorch."""

    def __init__(self, learner: Learner, tasks: Tasks, number: int, body: Params):
        """`body`: the weights of the network that embeds; what else the learner has starts as it always does."""
        self.keys = jax.random.split(jax.random.key(1), number)
        self.episodes: Episode = jax.jit(jax.vmap(tasks.sample, (None, 0)))(tasks.data, self.keys)
        params = learner.init(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], self.episodes))
        self.params = _off_zero(params | {("body" if "body" in params else "net"): body})
        gradient = _spread(gradients.task_batch_gradient(learner, 1), number)
        self.arguments = (self.params, (self.episodes, self.keys), jnp.int32(0))
        begun = time.perf_counter()
        self.compiled = jax.jit(gradient).lower(*self.arguments).compile()
        self.compile_seconds = time.perf_counter() - begun
        self.temporaries_mb = self.compiled.memory_analysis().temp_size_in_bytes / 2**20

    def run(self) -> tuple[float, float]:
        """Seconds of one gradient, and its norm."""
        begun = time.perf_counter()
        gradient, _ = jax.block_until_ready(self.compiled(*self.arguments))
        seconds = time.perf_counter() - begun
        return seconds, float(jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient))))


def _spread(gradient: gradients.Gradient, number: int) -> gradients.Gradient:
    """The same, each device having its share of so many tasks, one after the other; a single task stays on one."""
    if number == 1:
        return gradient
    mesh, whole, own = Mesh(np.array(jax.devices()), ("tasks",)), PartitionSpec(), PartitionSpec("tasks")

    def mean(params: Params, drawn: gradients.Drawn, step: jax.Array) -> Any:
        return jax.lax.pmean(gradient(params, drawn, step), "tasks")

    return jax.shard_map(mean, mesh=mesh, in_specs=(whole, own, whole), out_specs=whole, check_vma=False)


def _off_zero(params: Params) -> Params:
    """With a head that is not 0: from 0 no gradient reaches the body in the first step."""
    if "head" not in params:
        return params
    kernel = 0.1 * jax.random.normal(jax.random.key(2), params["head"]["kernel"].shape)
    return params | {"head": params["head"] | {"kernel": kernel}}


def for_torch(maml_job: Job, proto_job: Job, inner_steps: int) -> dict[str, np.ndarray]:
    """Weights and episodes as PyTorch has them: pictures [N, 1, H, W], kernels [D, C, 3, 3], int64 classes."""

    def rows(part) -> tuple[np.ndarray, np.ndarray]:
        return np.moveaxis(np.asarray(part.x), -1, -3), np.asarray(part.y, np.int64)

    body, head = maml_job.params["body"], maml_job.params["head"]
    weights = []
    for layer in range(4):
        own = body[f"layer_{layer}"]
        weights += [np.asarray(own["kernel"]).transpose(3, 2, 0, 1), own["scale"], own["offset"]]
    weights += [np.asarray(head["kernel"]).T, head["bias"]]
    (x, y), (query_x, query_y) = map(rows, maml_job.episodes)
    (proto_x, proto_y), (proto_query_x, proto_query_y) = map(
        rows, jax.tree.map(lambda leaf: leaf[0], proto_job.episodes)
    )
    return {f"weights_{place}": np.ascontiguousarray(part) for place, part in enumerate(weights)} | {
        "x": x, "y": y, "query_x": query_x, "query_y": query_y,
        "proto_x": proto_x, "proto_y": proto_y, "proto_query_x": proto_query_x, "proto_query_y": proto_query_y,
        "steps": np.int64(inner_steps), "lr": np.float32(INNER_LR),
    }  # fmt: skip


def make_jobs(options: Options) -> dict[str, Job]:
    """MAML's and ProtoNet's, with the same body."""
    net, classes = Conv4(), pictures()
    body = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    inner = maml(Classifier(net, 5), cross_entropy, lr=INNER_LR, steps=options.inner_steps)
    metric = protonet(net, cross_entropy, ways=options.ways)
    return {
        "maml": Job(inner, n_way(classes, "train", ways=5, shots=1, query=options.query), options.tasks, body),
        "protonet": Job(metric, n_way(classes, "train", ways=options.ways, shots=5, query=5), 1, body),
    }


def in_its_stride(job: Callable[[], T]) -> T:
    """What `job` answers the second time in a row, as in training, where nothing else comes between its steps.

    Right after another job ours took up to half as long again.
    """
    time.sleep(PAUSE)
    job()
    return job()


def measure(jobs: dict[str, Job], ask: Ask | None, rounds: int) -> list[dict[str, Any]]:
    """A row a job, and one for each of PyTorch's ways to do it; the first round warms up and is not counted."""
    times: dict[tuple[str, str], list[float]] = {}
    norms: dict[tuple[str, str], float] = {}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            seconds, norms[name, "here"] = in_its_stride(job.run)
            times.setdefault((name, "here"), []).append(seconds)
            for other in PEERS_OF[name] if ask else ():
                timing = in_its_stride(functools.partial(ask, other))
                norms[name, other] = timing["norm"]
                times.setdefault((name, other), []).append(timing["seconds"])
    rows = []
    for (name, who), seconds_each in times.items():
        seconds = float(np.median(seconds_each[1:]))
        row = {
            "job": name,
            "who": who,
            "seconds": seconds,
            "ratio": seconds / float(np.median(times[name, "here"][1:])),
        }
        row["norm_difference"] = abs(norms[name, who] / norms[name, "here"] - 1)
        if who == "here":
            row |= {"temporaries_mb": jobs[name].temporaries_mb, "compile_seconds": jobs[name].compile_seconds}
        rows.append(row)
    return rows


def work(options: Options) -> None:
    """Measure, print, and write JSON where asked.

    Raises:
      ValueError: the tasks cannot be spread evenly over the devices.
    """
    tasks, steps, ways = options.tasks, options.inner_steps, options.ways
    if tasks % options.devices:
        raise ValueError(f"--tasks={tasks} cannot be spread evenly over --devices={options.devices}.")
    jax.config.update("jax_num_cpu_devices", options.devices)
    jobs = make_jobs(options)
    given = for_torch(jobs["maml"], jobs["protonet"], steps)
    with peer(options.torch_python, PEER, given, options.threads) as ask:
        rows = measure(jobs, ask, options.rounds)
    print(f"maml: {tasks} tasks, {steps} steps; protonet: {ways} ways; median of {options.rounds}\n")
    print(
        f"{'job':10} {'who':10} {'seconds':>8} {'of ours':>8} {'temporaries':>12} {'compiling':>10} {'norms apart':>12}"
    )
    for row in rows:
        own = f"{row['temporaries_mb']:9.0f} MB {row['compile_seconds']:8.1f} s" if row["who"] == "here" else " " * 23
        print(
            f"{row['job']:10} {row['who']:10} {row['seconds']:8.3f} {row['ratio']:8.2f} {own} "
            f"{row['norm_difference']:12.1e}"
        )
    if options.json:
        content = {"rows": rows, "tasks": tasks, "inner_steps": steps, "ways": ways, "jax": jax.__version__}
        write_atomic(Path(options.json), json.dumps(content, indent=1).encode())


SHARED = ("inner_steps", "query", "devices", "torch_python", "threads", "rounds", "json")
DEFAULTS = {"inner_steps": 5, "query": 15, "devices": os.cpu_count(), "rounds": 5}
main = Experiment("bench_conv", __doc__, SHARED, work, DEFAULTS, own=FLAGS)

if __name__ == "__main__":
    main()
