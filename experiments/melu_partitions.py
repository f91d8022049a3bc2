"""MeLU's four partitions of MovieLens-1M: mean absolute error beside what the paper and a re-implementation report.

    scripts/run.sh experiments/melu_partitions.py --dataset=ml-1m --partition=melu_split.json

Warm and cold users on warm and cold items; training sees warm users on warm items. A task is a user with 13 to 100
ratings in a partition, 10 of which are predicted from the rest (`metarec_jax/tasks/melu_split.py`). The file has
four lists of raw ids: warm_users, cold_users, warm_items, cold_items. By default it is looked for beside the ratings.

Result of attentive ridge in the order of the table: 0.684, 0.685, 0.877 and 0.870; with every prediction moved to the
nearest star 0.644, 0.646, 0.844 and 0.838.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from absl import app, flags

from experiments.common import cold_start, dataflags
from experiments.common.command_line import one_line_errors, only_flags, parse
from experiments.common.environment import make_devices
from experiments.common.questions import USER_COLD_START
from experiments.common.runner import Protocol
from experiments.common.workdir import claim, mark
from metarec_jax.data.fetch import download
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import results, table
from metarec_jax.tasks.melu_split import PARTITIONS, read_cold, split_partition

EXPERIMENT = "melu_partitions"
PARTITION = flags.DEFINE_string("partition", None, "JSON file of the partition; default melu_split.json in ml-1m.")
flags.adopt_module_key_flags(cold_start)

# MAE as published, of the paper and of the best re-implementation, in the order of PARTITIONS. Their sizes bear the
# order out: new films are hard for everybody, new users are not.
PUBLISHED = {"MeLU, published": (0.75, 0.79, 0.92, 0.92), "MeLU, re-implemented": (0.68, 0.74, 0.90, 0.89)}


def question_of(name: str, path: Path) -> cold_start.ColdStart:
    """One partition as a question on cold starts."""
    partition = PARTITIONS[name]

    def split(ratings: Ratings, *, seed: int, query: int, **bounds: Any):
        del bounds  # the protocol has its own
        return split_partition(ratings, read_cold(path, ratings), partition, seed=seed, query=query)

    return USER_COLD_START._replace(
        name=f"{EXPERIMENT}: {name}",
        split=split,
        learners=["melu_published", "melu", "attentive_ridge"],
        protocol=Protocol(["all"], query=10, order="random"),
        unseen=1.0 if partition.cold_items else 0.0,
    )


def absolute_errors(predictions: pl.DataFrame, levels: np.ndarray | None = None) -> dict[str, intervals.Estimate]:
    """Method -> mean absolute error over tasks, with its interval.

    Args:
      predictions: a run's `predictions.parquet`.
      levels: the ratings that may be given. With them a prediction is moved to the nearest: the median of a symmetric
        predictive distribution on these levels, which is what makes an absolute error least, as the mean does a square.
    """
    found = {}
    for (name,), frame in predictions.group_by("name", maintain_order=True):
        predicted = frame["prediction"].to_numpy()
        if levels is not None:
            predicted = levels[np.abs(predicted[:, None] - levels).argmin(1)]
        errors = frame.with_columns(error=np.abs(predicted - frame["rating"].to_numpy()))
        tasks = errors.group_by("seed", "user", maintain_order=True).agg(pl.col("error").mean())
        found[str(name)] = intervals.estimate(tasks["error"].to_numpy(), tasks["user"].to_numpy(), False)
    return found


def summary(predictions: dict[str, pl.DataFrame]) -> str:
    """All partitions side by side, and what was published."""
    rows = [["MAE [95% interval]", *predictions]]
    levels = np.unique(np.concatenate([frame["rating"].to_numpy() for frame in predictions.values()]))
    for suffix, allowed in (("", None), (", nearest rating", levels)):
        parts = [absolute_errors(frame, allowed) for frame in predictions.values()]
        for name in parts[0]:
            rows.append(
                [name + suffix, *(f"{p[name].mean:.3f} [{p[name].low:.3f}, {p[name].high:.3f}]" for p in parts)]
            )
    rows += [[name, *(f"{value:.2f}" for value in values)] for name, values in PUBLISHED.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def main(argv: list[str]) -> None:
    """Run the partitions that are not done, and show all."""
    with one_line_errors():
        only_flags(argv)
        if dataflags.DATASET.value != "ml-1m" and PARTITION.value is None:
            raise ValueError("--partition is needed for other data than --dataset=ml-1m.")
        folder = Path(dataflags.DATA_DIR.value) if dataflags.DATA_DIR.value else None
        path = Path(PARTITION.value) if PARTITION.value else download.locate("ml-1m", folder) / "melu_split.json"
        if not path.is_file():
            raise ValueError(f"{path} does not exist; give the file of the partition with --partition.")
        plan = cold_start.make_plan(question_of(next(iter(PARTITIONS)), path), sys.modules[__name__])
        make_devices(cold_start.DEVICES.value)
        folder, predictions = claim(EXPERIMENT, dataflags.label(), plan.stamp), {}
        mark(folder, plan.stamp, {"partition": hashlib.sha256(path.read_bytes()).hexdigest()})
        for number, name in enumerate(PARTITIONS):
            part = folder / f"{number}_{name.replace(', ', '_').replace(' ', '_')}"
            if not (part / "results.json").exists():
                question = question_of(name, path)
                cold_start.report(cold_start.run(question, cold_start.AT_EVERY_K, plan, part), part)
            found = results.read_json(part / "results.json")
            predictions[name] = pl.read_parquet(part / "predictions.parquet")
            print(table.text_table(found, "mae"))
        text = summary(predictions)
        write_atomic(folder / "summary.txt", text.encode() + b"\n")
    print(text)
    print(f"\nA report page for each partition is below {folder}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
