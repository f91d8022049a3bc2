"""The experiments on cold starts: learners and every simple method on the same held-out tasks, at every K.

What a task is, which methods there are and how much is asked of them is the question's (`questions.py`); the flags, the
work directory, the table and the report are the same for all.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from absl import flags, logging

from experiments.common import dataflags, methods, runner, workdir
from experiments.common.command_line import one_line_errors, only_flags, refuse
from experiments.common.environment import environment, make_devices
from experiments.common.methods import chosen, parse_set
from experiments.common.questions import ColdStart
from experiments.common.workdir import Log, claim, mark, stamp
from metarec_jax.data.table import Ratings
from metarec_jax.eval.compare import Scores, result_rows
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import html, plots, results, table
from metarec_jax.search.tuned import Tuned, read_tuned
from metarec_jax.tasks.catalogue import default_threshold
from metarec_jax.tasks.split_file import write_split
from metarec_jax.tasks.splits import Split
from metarec_jax.train.sharding import Sharding

LEARNERS = flags.DEFINE_list("learners", None, "all, none, or names of learners; a wrong name shows all of them.")
BASELINES = flags.DEFINE_list("baselines", "all", "all, none, or names of baselines; a wrong name shows all of them.")
TUNED = flags.DEFINE_string("tuned", None, "File of settings from experiments/tune.py.")
SET = flags.DEFINE_multi_string("set", [], "Hyper-parameter of a learner: NAME.KEY=VALUE. May be repeated.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs, with seeds seed, seed + 1, ...", lower_bound=1)
DEVICES = flags.DEFINE_integer("devices", 1, "Devices to spread the tasks of a step over.", lower_bound=1)
PARALLEL = flags.DEFINE_enum("parallel", "jit", ["jit", "shard_map", "pmap"], "How to spread them.")
ID_TABLES = flags.DEFINE_enum(
    "id_tables",
    "dense",
    ["dense", "rows"],
    "Whether a step updates whole tables of ids, or only the rows that its tasks meet (lazy Adam): for big catalogues.",
)
for shared in (dataflags, methods, workdir):
    flags.adopt_module_key_flags(shared)


class Plan(NamedTuple):
    """What the flags ask for, checked before any ratings are read or anything is written."""

    methods: list[str]  # in the order of the table
    changes: dict[str, dict[str, Any]]  # of the hyper-parameters of those that are trained
    grids: dict[str, list[dict[str, Any]]]  # of the others
    tuned: Tuned | None
    protocol: runner.Protocol
    stamp: str  # the flags, as flags.txt


def make_plan(question: ColdStart, experiment: ModuleType) -> Plan:
    """Check all flags.

    Raises:
      ValueError: one is wrong, or would do nothing.
    """
    known = question.methods
    learners, classics = asked_methods(known, question.learners)
    trained = learners + [name for name in classics if name in known.controls]
    idle = [*dataflags.idle_flags()]
    if dataflags.SPLIT.value is not None and SEEDS.value > 1:
        idle.append((SEEDS, "above 1 needs splits of its own, not --split"))
    if not trained:
        idle += [(flag, "needs a method that is trained") for flag in (methods.STEPS, ID_TABLES)]
    if DEVICES.value == 1:
        idle.append((PARALLEL, "needs --devices above 1"))
    left_out, protocol = refuse(idle), dataflags.parse_protocol(question)
    tuned = read_tuned(Path(TUNED.value), question) if TUNED.value is not None else None
    changes = parse_set(SET.value, known.recipes, trained, tuned.changes if tuned else {})
    grids = {name: known.baselines[name].grid for name in classics if name in known.baselines}
    if tuned:
        grids |= {name: grid for name, grid in tuned.grids.items() if name in grids}
    text = stamp(experiment, left_out, {"tuned": tuned.sha256} if tuned else {})
    return Plan(classics + learners, changes, grids, tuned, protocol, text)


def asked_methods(known: methods.Methods, default: list[str]) -> tuple[list[str], list[str]]:
    """The learners and the classics that the flags ask for; the `default` learners where they ask for none.

    Raises:
      ValueError: an unknown name, or nothing to run.
    """
    learners, classics = chosen(LEARNERS, known.learners, default), chosen(BASELINES, known.classics)
    if not learners and not classics:
        raise ValueError("--learners=none and --baselines=none leave nothing to run.")
    return learners, classics


def log_tuned(plan: Plan, dataset: str, hashes: list[str]) -> None:
    """Say which methods the tuned settings leave out, and where they come from other data."""
    if plan.tuned is None:
        return
    left_out = [name for name in plan.methods if name not in plan.tuned.changes | plan.tuned.grids]
    if left_out:
        logging.info("%s does not name %s: default settings.", TUNED.value, ", ".join(left_out))
    if plan.tuned.dataset != dataset:
        logging.warning("%s was tuned on %s, not on %s.", TUNED.value, plan.tuned.dataset, dataset)
    elif set(hashes) != {plan.tuned.split}:
        logging.warning("%s was tuned on another split: its validation users may be test users here.", TUNED.value)


class Flow(NamedTuple):
    """How methods are run and scored: at every K, unless an experiment has its own."""

    make_trial: Callable[[ColdStart, Plan, int, Ratings, Split, Path], Any]  # of a seed, in its folder
    run_baseline: Callable[..., runner.Outcome]  # (name, baseline, grid, trial)
    run_learner: Callable[..., runner.Outcome]  # (name, recipe, changes, trial, log, spread)
    scores: Callable[..., list[Scores]]  # (name, outcomes, trials, rating from which an item is liked)
    same_query: bool = True  # whether a task is asked the same at every K


def _make_trial(question: ColdStart, plan: Plan, seed: int, ratings: Ratings, split: Split, folder: Path):
    return runner.make_trial(seed, ratings, split, plan.protocol, folder, unseen=question.unseen)


AT_EVERY_K = Flow(_make_trial, runner.run_baseline, runner.run_learner, runner.scores)


class Material(NamedTuple):
    """What a run works on."""

    ratings: Ratings
    splits: dict[int, Split]  # by seed
    trials: list[Any]  # by seed
    log: Log
    seconds: float  # that it took to read the ratings

    @property
    def hashes(self) -> list[str]:
        """Of the splits."""
        return [split.sha256 for split in self.splits.values()]


def prepare(question: ColdStart, flow: Flow, plan: Plan, folder: Path) -> Material:
    """Read the ratings and split them. Nothing is written before they are in order."""
    begun = time.perf_counter()
    ratings = question.table(dataflags.load_ratings())
    seconds = time.perf_counter() - begun
    first = dataflags.SEED.value
    splits = {seed: dataflags.load_split(question, ratings, seed) for seed in range(first, first + SEEDS.value)}
    folders = {seed: folder / f"seed_{seed}" for seed in splits}
    trials = [flow.make_trial(question, plan, seed, ratings, split, folders[seed]) for seed, split in splits.items()]
    material = Material(ratings, splits, trials, Log(folder / "metrics.jsonl"), seconds)
    mark(folder, plan.stamp, {"ratings": ratings.sha256, "splits": material.hashes})
    log_tuned(plan, ratings.name, material.hashes)
    for seed, split in splits.items():
        write_split(folders[seed] / "split.parquet", ratings, split)
    return material


def run(question: ColdStart, flow: Flow, plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything between the flags and the results dict."""
    begun, how = time.perf_counter(), sharding()
    ratings, splits, trials, log, seconds = prepare(question, flow, plan, folder)
    known, timing = question.methods, {"load": seconds}

    def work(name: str, trial: Any) -> runner.Outcome:
        if name in known.recipes:
            return flow.run_learner(name, known.recipes[name], plan.changes[name], trial, log, how)
        return flow.run_baseline(name, known.baselines[name].baseline, plan.grids[name], trial)

    outcomes = each(plan.methods, trials, work, timing)
    write_atomic(folder / "predictions.parquet", all_rows(outcomes))
    relevant = default_threshold(ratings)
    scores = [score for name, found in outcomes.items() for score in flow.scores(name, found, trials, relevant)]
    described, timing = describe(ratings, splits), timing | {"total": time.perf_counter() - begun}
    rows = result_rows(scores, flow.same_query)
    return compose(question.name, ratings, described, list(splits), rows, outcomes, log, timing)


def describe(ratings: Ratings, splits: dict[int, Split]) -> dict[str, Any]:
    """What results.json says of the splits by seed: all hashes, and the sizes of the first."""
    first, hashes = next(iter(splits.values())), [split.sha256 for split in splits.values()]
    return {
        "sha256": hashes[0] if len(hashes) == 1 else hashes,
        "train_tasks": len(np.unique(ratings.user[first.train_rows])),
        "valid_tasks": len(first.valid.users),
        "test_tasks": len(first.test.users),
    }


def each(names: list[str], trials: list, work: Callable[[str, Any], runner.Outcome], timing: dict[str, float]):
    """Method -> its `Outcome`s by trial, from `work(name, trial)`; the seconds of each method go to `timing`."""
    outcomes: dict[str, list[runner.Outcome]] = {name: [] for name in names}
    for trial in trials:
        for name, found in outcomes.items():
            found.append(work(name, trial))
            seconds = found[-1].info["seconds"]
            logging.info("%s, seed %d: %.1f s", name, trial.seed, seconds)
            timing[name] = timing.get(name, 0.0) + seconds
    return outcomes


def all_rows(outcomes: dict[str, list[runner.Outcome]]) -> bytes:
    """What all methods predicted, as the content of a Parquet file."""
    return runner.parquet(pl.concat([outcome.predictions for found in outcomes.values() for outcome in found]))


def compose(experiment, ratings, split, seeds, rows, outcomes, log, timing) -> dict[str, Any]:
    """The content of results.json from its rows without settings, and the `Outcome`s of each method by seed."""
    for row in rows:
        row["settings"] = outcomes[row["name"]][0].info["settings"][str(row["shots"])]
    return {
        "schema": results.SCHEMA,
        "experiment": experiment,
        "dataset": facts(ratings),
        "split": split,
        "seeds": seeds,
        "rows": rows,
        "curves": {name: log.curve(seeds[0], name) for name in log.names(seeds[0])},
        "timing": {stage: round(seconds, 2) for stage, seconds in timing.items()},
        "environment": environment(),
    }


def facts(ratings: Ratings) -> dict[str, Any]:
    """What results.json says of a data set."""
    return {
        "name": ratings.name,
        f"{ratings.roles[0]}s": ratings.num_users,
        f"{ratings.roles[1]}s": ratings.num_items,
        "ratings": len(ratings.rating),
        "sha256": ratings.sha256,
        "source": ratings.source,
    }


def report(found: dict[str, Any], folder: Path) -> None:
    """Write results.json last: it says that the run is complete."""
    plots.save_figure(plots.curves_figure(found), folder / "curves.png")
    write_atomic(folder / "report.html", html.html_page(found).encode())
    results.write_json(folder / "results.json", found)


def main(question: ColdStart, experiment: ModuleType, argv: list[str], flow: Flow = AT_EVERY_K) -> None:
    """Run, or show what an earlier run in this work directory found.

    Args:
      question: what is asked.
      experiment: the module of the script; its flags are this module's, adopted, and its own.
      argv: what is left of the command line.
      flow: how methods are run and scored.
    """
    conduct(question.name, argv, partial(make_plan, question, experiment), partial(run, question, flow))


def sharding() -> Sharding:
    """How the flags lay out the work of a training step."""
    return Sharding(DEVICES.value, PARALLEL.value, id_tables=ID_TABLES.value)


def conduct(
    experiment: str,
    argv: list[str],
    make_plan: Callable[[], Plan],
    run: Callable[[Plan, Path], dict[str, Any]],
    report: Callable[[dict[str, Any], Path], None] = report,
    text: Callable[[dict[str, Any]], str] = table.text_table,
) -> None:
    """Check the flags, `run` what was not run before, write its `report` and print its `text`."""
    with one_line_errors():
        only_flags(argv)
        plan = make_plan()
        make_devices(DEVICES.value)
        folder = claim(experiment, dataflags.label(), plan.stamp)
        if (folder / "results.json").exists():
            print(f"{folder} is done already; this is what it found.\n")
            found = results.read_json(folder / "results.json")
        else:
            found = run(plan, folder)
            report(found, folder)
    print(text(found))
    print(f"\nAll of it, with other metrics and plots: {folder / 'report.html'}")
