"""What does it cost to leave ratings on disk? A step with tasks that the host sends, and one with all on the device.

    scripts/run.sh scripts/bench_stream.py --columns=columns --json=stream.json

Exact MAML on the columns of `make_columns.py`, the same tasks both ways. First the streamed steps alone, and the most
memory that the process ever had until then; then both in turns, --chunks at a time, and medians. The time of streamed
chunks is that of as many tasks made as are trained on.
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
from absl import app, flags

from experiments.common.command_line import one_line_errors, only_flags, parse
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

COLUMNS = flags.DEFINE_string("columns", None, "Folder of columns.", required=True)
BATCH = flags.DEFINE_integer("batch", 32, "Tasks a step.", lower_bound=1)
SUPPORT = flags.DEFINE_integer("support", 10, "Support ratings.", lower_bound=0)
QUERY = flags.DEFINE_integer("query", 10, "Query ratings.", lower_bound=1)
TABLES = flags.DEFINE_enum("id_tables", "rows", ["dense", "rows"], "How tables of ids are trained.")
LENGTH = flags.DEFINE_integer("length", 100, "Steps of a chunk.", lower_bound=1)
CHUNKS = flags.DEFINE_integer("chunks", 5, "Chunks timed together.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 9, "Turns; the median counts.", lower_bound=1)
THREADS = flags.DEFINE_integer("threads", 8, "That look up ratings.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "File for the figures.")


def whole_table(columns: Columns) -> Ratings:
    """All of the columns, not yet read."""
    user = np.repeat(np.arange(len(columns.user_ids), dtype=np.int32), columns.counts)
    nobody = columns.table(np.arange(0))
    none = Features.none(len(columns.user_ids))
    whole = {"user": user, "item": columns.item, "rating": columns.rating, "timestamp": None}
    return dataclasses.replace(nobody, **whole, user_ids=columns.user_ids, user_features=none)


class Program:
    """Compiled steps, with their state."""

    def __init__(self, tasks: Tasks, items: int, streamed: bool):
        learner = maml(RatingNet(items, 3.5, 1.0, id_dim=32, hidden=(64, 64)), squared_error, lr=0.05, steps=1)
        optimiser = adam(1e-3, 10**6, rows=TABLES.value == "rows")
        self.data, self.key = tasks.data, jax.random.key(1)
        self.sharding = Sharding(id_tables=TABLES.value, streamed=streamed)
        self.chunk = step.make_train_steps(
            learner, tasks.sample, optimiser, batch=BATCH.value, length=LENGTH.value, sharding=self.sharding
        )
        state = loop.start(learner, tasks, optimiser, jax.random.key(0)).state
        self.state = jax.device_put(state, jax.devices()[0])

    def run(self, chunk: step.TrainSteps) -> float:
        """The loss of a chunk, which is finished then."""
        self.state, metrics = chunk(self.data, self.state, self.key)
        return float(metrics["loss"].mean())

    def seconds(self, feed: contextlib.AbstractContextManager[step.TrainSteps]) -> float:
        """A step's, of some chunks after one that is not counted; the end of `feed` is."""
        with feed as chunk:
            self.run(chunk)
            begun = time.perf_counter()
            for _ in range(CHUNKS.value):
                self.run(chunk)
        return (time.perf_counter() - begun) / (CHUNKS.value * LENGTH.value)


def fed(stream: Stream, program: Program) -> contextlib.AbstractContextManager[step.TrainSteps]:
    """The streamed chunk. It ends when the tasks of the chunk after the last are made, as the first one's were."""
    sizes = {"batch": BATCH.value, "length": LENGTH.value, "sharding": program.sharding, "threads": THREADS.value}
    return prefetch.fed(program.chunk, stream, **sizes)


def peak_gb() -> float:
    """The most memory that the process ever had, mapped pages included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(columns: Columns) -> dict[str, float]:
    """The figures."""
    sizes, items = {"support": SUPPORT.value, "query": QUERY.value}, len(columns.item_ids)
    stream = Stream(columns, np.arange(len(columns.user_ids)), **sizes)
    streamed = Program(stream.tasks, items, streamed=True)
    for _ in range(ROUNDS.value):
        streamed.seconds(fed(stream, streamed))
    peak = peak_gb()
    resident = Program(training_tasks(whole_table(columns), **sizes), items, streamed=False)
    times: dict[str, list[float]] = {"streamed": [], "in memory": []}
    for _ in range(ROUNDS.value):
        times["in memory"].append(resident.seconds(contextlib.nullcontext(resident.chunk)))
        times["streamed"].append(streamed.seconds(fed(stream, streamed)))
    found = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    ratios = np.array(times["streamed"]) / np.array(times["in memory"])
    return {
        "ratings": len(columns.item),
        "step_ms_streamed": found["streamed"],
        "step_ms_in_memory": found["in memory"],
        "ratio": float(np.median(ratios)),
        "peak_gb_streamed": peak,
        "peak_gb_with_all_in_memory": peak_gb(),
    }


def main(argv: list[str]) -> None:
    """Measure, print, write."""
    with one_line_errors():
        only_flags(argv)
        columns = open_columns(Path(COLUMNS.value))
        about = {"jax": jax.__version__, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        found = measure(columns) | about
        print(f"{found['ratings']} ratings, {TABLES.value} tables, {BATCH.value} tasks a step")
        print(f"streamed {found['step_ms_streamed']:.3f} ms a step, in memory {found['step_ms_in_memory']:.3f}")
        print(f"ratio {found['ratio']:.3f} (median of {ROUNDS.value}); at most {found['peak_gb_streamed']:.2f} GB")
        if JSON.value:
            write_atomic(Path(JSON.value), json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
