"""Does meta-learning help cold-start users? Learners and every simple method on the same held-out users, K = 0..20.

    scripts/run.sh                                            # MovieLens-100K, four learners, all baselines
    scripts/run.sh experiments/user_cold_start.py --dataset=ml-1m
    scripts/run.sh experiments/user_cold_start.py --ratings=mine.csv --columns=user=uid,item=isbn,rating=stars

Result, RMSE at K = 10 with seed 0. MovieLens-100K: Gaussian process 0.968, ridge head 0.972 (cannot be told apart),
bias 0.997, MAML 1.005. MovieLens-1M: ridge head 0.9093, Gaussian process 0.9132 (worse by 0.0039 [0.0010, 0.0067]),
MAML 0.942, bias 0.950. The README has the tables.
"""

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags, logging

os.environ.setdefault("NPROC", "16")  # threads enough for collectives on virtual CPU devices; read when jax starts

import jax
import polars as pl

from experiments.common import runner
from experiments.common.recipes import RECIPES
from experiments.common.recipes.base import hyperparameters
from experiments.common.workdir import Log, WorkdirError, claim, mark, stamp
from metarec_jax import data, evaluation
from metarec_jax.baselines import BASELINES
from metarec_jax.checkpoint import CheckpointError, write_atomic
from metarec_jax.data.files import parse_columns, read_ratings
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.report import html, plots, results, table
from metarec_jax.tasks.split_file import read_split, write_split
from metarec_jax.tasks.user_cold_start import Split, split_users
from metarec_jax.training import TrainingError

EXPERIMENT = "user_cold_start"
CONTROLS = [name for name, recipe in RECIPES.items() if recipe.kind == "baseline"]
LEARNERS = [name for name, recipe in RECIPES.items() if recipe.kind == "learner"]

DATASET = flags.DEFINE_enum("dataset", "ml-100k", list(data.DATASETS), "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder.")
RATINGS = flags.DEFINE_string("ratings", None, "A .csv, .tsv or .parquet file of your own instead of --dataset.")
COLUMNS = flags.DEFINE_string("columns", None, "Columns of --ratings, e.g. user=uid,item=isbn,rating=stars.")
SPLIT = flags.DEFINE_string("split", None, "File with columns user,item,rating,role instead of a hashed split.")
LEARNERS_FLAG = flags.DEFINE_list("learners", "all", f"all, none, or some of {','.join(LEARNERS)}.")
BASELINES_FLAG = flags.DEFINE_list("baselines", "all", f"all, none, or some of {','.join([*BASELINES, *CONTROLS])}.")
SHOTS = flags.DEFINE_list("shots", "0,1,3,5,10,20", "Support ratings K; 'all' is whatever the query leaves.")
QUERY = flags.DEFINE_integer("query", 10, "Ratings of a held-out user to be predicted.", lower_bound=1)
ORDER = flags.DEFINE_enum("order", "random", ["random", "time"], "Order in which a user's ratings are revealed.")
MIN_RATINGS = flags.DEFINE_integer("min_ratings", 0, "Held-out users have at least so many ratings.", lower_bound=0)
MAX_RATINGS = flags.DEFINE_integer("max_ratings", None, "Held-out users have at most so many ratings.", lower_bound=1)
HEAVY = flags.DEFINE_bool("heavy_users", True, "Train on users outside min_ratings..max_ratings too.")
STEPS = flags.DEFINE_integer("steps", None, "Meta-training steps of every learner.", lower_bound=1)
SET = flags.DEFINE_multi_string("set", [], "Hyper-parameter of a learner: NAME.KEY=VALUE. May be repeated.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of split and training.", lower_bound=0)
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs, with seeds seed, seed + 1, ...", lower_bound=1)
DEVICES = flags.DEFINE_integer("devices", 1, "Devices to spread the tasks of a step over.", lower_bound=1)
PARALLEL = flags.DEFINE_enum("parallel", "jit", ["jit", "pmap"], "How to spread them.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written; default below runs/.")

USER_ERRORS = (DataError, WorkdirError, CheckpointError, TrainingError, evaluation.PredictionError, OSError, ValueError)


def chosen(flag: flags.FlagHolder, names: list[str]) -> list[str]:
    """The names that a list flag asks for, in the order of `names`."""
    asked = flag.value
    if asked in (["all"], ["none"]):
        return names if asked == ["all"] else []
    for name in asked:
        if name not in names:
            raise ValueError(f"--{flag.name}: unknown {name!r}; choose all, none, or some of {', '.join(names)}.")
    return [name for name in names if name in asked]


def parse_shots() -> list[int | str]:
    """The Ks, ascending, "all" last."""
    for text in SHOTS.value or [""]:
        if text != "all" and not (text.isascii() and text.isdigit()):
            raise ValueError(f"--shots: {text!r} is neither a number nor 'all'.")
    numbers = sorted({int(text) for text in SHOTS.value if text != "all"})
    return [*numbers, *(["all"] if "all" in SHOTS.value else [])]


def parse_set(trained: list[str]) -> dict[str, dict[str, str]]:
    """Changes of hyper-parameters by method; checked here, before anything long starts."""
    changes: dict[str, dict[str, str]] = {name: {} for name in trained}
    for text in SET.value:
        target, equals, value = text.partition("=")
        name, dot, key = target.partition(".")
        if not (equals and dot):
            raise ValueError(f"--set={text}: write NAME.KEY=VALUE, for example maml.inner_lr=0.1.")
        if name not in changes:
            known = ", ".join(trained) or "none"
            raise ValueError(f"--set={text}: {name!r} is not run; the trained methods are {known}.")
        changes[name][key] = value
    for name in trained:
        if STEPS.value is not None:
            changes[name].setdefault("steps", str(STEPS.value))
        try:
            hyperparameters(RECIPES[name], changes[name], name)
        except ValueError as error:
            raise ValueError(f"--set: {error}") from error
    return changes


def idle_flags(trained: list[str]) -> dict[str, str]:
    """Flags that do nothing beside the others, and why."""
    cases = (
        (COLUMNS, RATINGS.value is None, "needs --ratings"),
        (DATASET, RATINGS.value is not None, "is replaced by --ratings"),
        (DATA_DIR, RATINGS.value is not None, "is not used with --ratings"),
        (MIN_RATINGS, SPLIT.value is not None, "is decided by --split"),
        (MAX_RATINGS, SPLIT.value is not None, "is decided by --split"),
        (HEAVY, SPLIT.value is not None, "is decided by --split"),
        (SEEDS, SPLIT.value is not None and SEEDS.value > 1, "above 1 needs splits of its own, not --split"),
        (STEPS, not trained, "needs a method that is trained"),
        (PARALLEL, DEVICES.value == 1, "needs --devices above 1"),
    )
    return {flag.name: why for flag, idle, why in cases if idle}


def load_ratings() -> Ratings:
    """The table that the flags ask for."""
    if RATINGS.value is not None:
        return read_ratings(Path(RATINGS.value), parse_columns(COLUMNS.value or ""))
    return data.load(DATASET.value, Path(DATA_DIR.value) if DATA_DIR.value else None)


def load_split(ratings: Ratings, seed: int) -> Split:
    """The split that the flags ask for."""
    if SPLIT.value is not None:
        return read_split(Path(SPLIT.value), ratings)
    return split_users(
        ratings,
        seed=seed,
        query=QUERY.value,
        order=ORDER.value,
        min_ratings=MIN_RATINGS.value,
        max_ratings=MAX_RATINGS.value,
        filter_training=not HEAVY.value,
    )


class Plan(NamedTuple):
    """What the flags ask for, checked before anything is read or written."""

    methods: list[str]  # in the order of the table
    changes: dict[str, dict[str, str]]  # of the hyper-parameters of those that are trained
    protocol: runner.Protocol
    stamp: str  # the flags, as flags.txt


def make_plan() -> Plan:
    """Check all flags.

    Raises:
      ValueError: one is wrong, or would do nothing.
    """
    learners, classics = chosen(LEARNERS_FLAG, LEARNERS), chosen(BASELINES_FLAG, [*BASELINES, *CONTROLS])
    if not learners and not classics:
        raise ValueError("--learners=none and --baselines=none leave nothing to run.")
    trained = learners + [name for name in classics if name in CONTROLS]
    idle = idle_flags(trained)
    for name, why in idle.items():
        if flags.FLAGS[name].present:
            raise ValueError(f"--{name} {why}.")
    protocol = runner.Protocol(parse_shots(), QUERY.value, ORDER.value)
    return Plan(classics + learners, parse_set(trained), protocol, stamp(EXPERIMENT, idle))


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything between the flags and the results dict. Nothing is written before data and split are in order."""
    devices = runner.Devices(DEVICES.value, PARALLEL.value)
    begun = time.perf_counter()
    ratings = load_ratings()
    timing = {"load": time.perf_counter() - begun}
    splits = {seed: load_split(ratings, seed) for seed in range(SEED.value, SEED.value + SEEDS.value)}
    trials = [
        runner.make_trial(seed, ratings, split, plan.protocol, folder / f"seed_{seed}")
        for seed, split in splits.items()
    ]
    hashes = [split.sha256 for split in splits.values()]
    mark(folder, plan.stamp, {"ratings": ratings.sha256, "splits": hashes})
    for trial, split in zip(trials, splits.values(), strict=True):
        write_split(trial.folder / "split.parquet", ratings, split)
    log, outcomes = Log(folder / "metrics.jsonl"), {name: [] for name in plan.methods}
    for trial in trials:
        for name in outcomes:
            if name in RECIPES:
                found = runner.run_learner(name, RECIPES[name], plan.changes[name], trial, log, devices)
            else:
                found = runner.run_baseline(name, *BASELINES[name], trial)
            logging.info("%s, seed %d: %.1f s", name, trial.seed, found.info["seconds"])
            outcomes[name].append(found)
            timing[name] = timing.get(name, 0.0) + found.info["seconds"]
    frame = pl.concat([outcome.predictions for found in outcomes.values() for outcome in found])
    write_atomic(folder / "predictions.parquet", runner.parquet(frame))
    return write_up(ratings, hashes, trials, outcomes, log, timing | {"total": time.perf_counter() - begun})


def write_up(ratings, hashes, trials, outcomes, log, timing) -> dict[str, Any]:
    """The content of results.json."""
    levels = ratings.levels
    relevant = float(levels[0] + 0.75 * (levels[-1] - levels[0]))  # 4 of 1..5 stars
    scores = [
        score for name, found in outcomes.items() for score in runner.scores(name, found, trials, relevant)
    ]
    rows = evaluation.result_rows(scores)
    for row in rows:
        row["settings"] = outcomes[row["name"]][0].info["settings"][str(row["shots"])]
    first = trials[0]
    return {
        "schema": results.SCHEMA,
        "experiment": EXPERIMENT,
        "dataset": {
            "name": ratings.name,
            "users": ratings.num_users,
            "items": ratings.num_items,
            "ratings": len(ratings.rating),
            "sha256": ratings.sha256,
            "source": ratings.source,
        },
        "split": {
            "sha256": hashes[0] if len(hashes) == 1 else hashes,
            "train_users": first.train.num_users,
            "valid_tasks": max(len(tasks.query.mask) for tasks in first.valid.values()),
            "test_tasks": max(len(tasks.query.mask) for tasks in first.test.values()),
        },
        "seeds": [trial.seed for trial in trials],
        "rows": rows,
        "curves": {name: log.curve(first.seed, name) for name in outcomes if name in RECIPES},
        "timing": {stage: round(seconds, 2) for stage, seconds in timing.items()},
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """What the figures were made with."""
    return {
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def report(found: dict[str, Any], folder: Path) -> None:
    """Write results.json last: it says that the run is complete."""
    plots.save_figure(plots.curves_figure(found), folder / "curves.png")
    write_atomic(folder / "report.html", html.html_page(found).encode())
    results.write_json(folder / "results.json", found)


def main(argv: list[str]) -> None:
    """Run, or show what an earlier run in this work directory found."""
    try:
        if len(argv) > 1:
            raise ValueError(f"{argv[1]!r} is not a flag; flags are written --name=value.")
        plan = make_plan()
        if DEVICES.value > 1 and jax.config.jax_platforms in (None, "", "cpu"):
            jax.config.update("jax_num_cpu_devices", DEVICES.value)  # virtual ones, where there is nothing better
        label = Path(RATINGS.value).stem if RATINGS.value else DATASET.value
        folder = claim(Path(WORKDIR.value) if WORKDIR.value else None, EXPERIMENT, label, plan.stamp)
        if (folder / "results.json").exists():
            print(f"{folder} is done already; this is what it found.\n")
            found = results.read_json(folder / "results.json")
        else:
            found = run(plan, folder)
            report(found, folder)
    except USER_ERRORS as error:
        logging.debug("in full", exc_info=True)
        sys.exit(f"error: {error}")
    print(table.text_table(found))
    print(f"\nAll of it, with other metrics and plots: {folder / 'report.html'}")


def parse(argv: list[str]) -> list[str]:
    """Set the flags; a wrong one is one line, as all errors are. Returns what is not a flag."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
