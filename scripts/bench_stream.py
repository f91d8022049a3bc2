"""What does it cost to leave ratings on disk? A step with tasks that the host sends, and one with all on the device.

    scripts/run.sh scripts/bench_stream.py --columns_dir=columns --json=stream.json

Exact MAML on the columns of `make_columns.py`, the same tasks both ways. First the streamed steps alone, and the most
memory that the process ever had until then; then both in turns, --repeats times --length steps, and medians. The time
of streamed steps is that of as many tasks made as are trained on.
"""

import contextlib
import dataclasses
import json
import os
import resource
import time
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments.flags import Flag
from experiments.main import Experiment, Options
from metarec_jax.data.io.columns import Columns, open_columns
from metarec_jax.data.table import Features, Ratings
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.recommender import RatingNet
from metarec_jax.objectives import squared_error
from metarec_jax.ops.files import write_atomic
from metarec_jax.tasks.streamed import Stream
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import loop, prefetch, step
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Tasks

FLAGS = {
    "id_tables": Flag(flags.DEFINE_enum, "rows", "How tables of ids are trained.", {"enum_values": ["dense", "rows"]}),
    "repeats": Flag(flags.DEFINE_integer, 5, "How often --length steps are taken in a turn.", {"lower_bound": 1}),
}


def whole_table(columns: Columns) -> Ratings:
    """All of the columns, not yet read."""
    user = np.repeat(np.arange(len(columns.user_ids), dtype=np.int32), columns.counts)
    nobody = columns.table(np.arange(0))
    none = Features.none(len(columns.user_ids))
    whole = {"user": user, "item": columns.item, "rating": columns.rating, "timestamp": None}
    return dataclasses.replace(nobody, **whole, user_ids=columns.user_ids, user_features=none)


class Program:
    """Compiled steps, with their state."""

    def __init__(self, tasks: Tasks, items: int, options: Options, *, streamed: bool):
        learner = maml(RatingNet(items, 3.5, id_dim=32, hidden=(64, 64)), squared_error, lr=0.05, steps=1)
        optimiser = adam(1e-3, 10**6, rows=options.id_tables == "rows")
        self.data, self.key = tasks.data, jax.random.key(1)
        self.sharding = Sharding(id_tables=options.id_tables, streamed=streamed)
        self.repeats, self.length = options.repeats, options.length
        self.steps = step.make_train_steps(
            learner, tasks.sample, optimiser, batch=options.batch, length=options.length, sharding=self.sharding
        )
        state = loop.start(learner, tasks, optimiser, jax.random.key(0)).state
        self.state = jax.device_put(state, jax.devices()[0])

    def run(self, steps: step.TrainSteps) -> float:
        """The loss of some steps, which are finished then."""
        self.state, metrics = steps(self.data, self.state, self.key)
        return float(metrics["loss"].mean())

    def seconds(self, feed: contextlib.AbstractContextManager[step.TrainSteps]) -> float:
        """A step's, of a turn after steps that are not counted; the end of `feed` is."""
        with feed as steps:
            self.run(steps)
            begun = time.perf_counter()
            for _ in range(self.repeats):
                self.run(steps)
        return (time.perf_counter() - begun) / (self.repeats * self.length)


def fed(stream: Stream, program: Program, options: Options) -> contextlib.AbstractContextManager[step.TrainSteps]:
    """The streamed steps. They end when the tasks of the steps after the last are made, as those of the first were."""
    sizes = {"batch": options.batch, "length": options.length, "threads": options.threads}
    return prefetch.prefetched(program.steps, stream, sharding=program.sharding, **sizes)


def peak_gb() -> float:
    """The most memory that the process ever had, mapped pages included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(columns: Columns, options: Options) -> dict[str, float]:
    """The figures."""
    sizes, items = {"support": options.support, "query": options.query}, len(columns.item_ids)
    stream = Stream(columns, np.arange(len(columns.user_ids)), **sizes)
    streamed = Program(stream.tasks, items, options, streamed=True)
    for _ in range(options.rounds):
        streamed.seconds(fed(stream, streamed, options))
    peak = peak_gb()
    resident = Program(training_tasks(whole_table(columns), **sizes), items, options, streamed=False)
    times: dict[str, list[float]] = {"streamed": [], "in memory": []}
    for _ in range(options.rounds):
        times["in memory"].append(resident.seconds(contextlib.nullcontext(resident.steps)))
        times["streamed"].append(streamed.seconds(fed(stream, streamed, options)))
    medians = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    ratios = np.array(times["streamed"]) / np.array(times["in memory"])
    return {
        "ratings": len(columns.item),
        "step_ms_streamed": medians["streamed"],
        "step_ms_in_memory": medians["in memory"],
        "ratio": float(np.median(ratios)),
        "peak_gb_streamed": peak,
        "peak_gb_with_all_in_memory": peak_gb(),
    }


def work(options: Options) -> None:
    """Measure, print, write.

    Raises:
      ValueError: there is no folder of columns.
    """
    if options.columns_dir is None:
        raise ValueError("give --columns_dir, a folder of scripts/make_columns.py.")
    columns = open_columns(Path(options.columns_dir), check=False)  # a check would bring all of it into memory
    about = {"jax": jax.__version__, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    content = measure(columns, options) | about
    print(f"{content['ratings']} ratings, {options.id_tables} tables, {options.batch} tasks a step")
    print(f"streamed {content['step_ms_streamed']:.3f} ms a step, in memory {content['step_ms_in_memory']:.3f}")
    print(f"ratio {content['ratio']:.3f} (median of {options.rounds}); at most {content['peak_gb_streamed']:.2f} GB")
    if options.json:
        write_atomic(Path(options.json), json.dumps(content, indent=1).encode())


SHARED = ("columns_dir", "batch", "support", "query", "threads", "length", "rounds", "json")
main = Experiment("bench_stream", __doc__, SHARED, work, {"query": 10, "threads": 8, "rounds": 9}, own=FLAGS)

if __name__ == "__main__":
    main()
