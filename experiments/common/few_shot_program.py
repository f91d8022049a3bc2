"""The program of the few-shot classification experiments: their common flags, the order of work, results and report."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from absl import flags, logging

from experiments.common import methods, workdir
from experiments.common.command_line import one_line_errors, only_flags
from experiments.common.environment import environment, make_devices
from experiments.common.few_shot import Outcome, Shape, World, example_episodes, make_setting, run_baseline
from experiments.common.few_shot_training import Budget, label, run_learner
from experiments.common.workdir import Log, claim, mark, stamp
from metarec_jax.eval import intervals
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import few_shot, plots
from metarec_jax.report.results import plain

SCHEMA = 1
WAYS = flags.DEFINE_list("ways", "5", "Classes of a test episode.")
SHOTS = flags.DEFINE_list("shots", "1,5", "Known examples of each class, K.")
QUERY = flags.DEFINE_integer("query", 15, "Examples of each class to tell apart.", lower_bound=1)
LEARNERS = flags.DEFINE_list("learners", None, "all, none, or names of learners; default: the experiment's.")
BASELINES = flags.DEFINE_list("baselines", "all", "all, none, or names of baselines.")
MINUTES = flags.DEFINE_float("minutes", None, "Minutes of training of each learner, instead of steps.", lower_bound=0)
EPISODES = flags.DEFINE_integer("episodes", 600, "Test episodes.", lower_bound=2)
DEVICES = flags.DEFINE_integer(
    "devices",
    1,
    "Devices that share the tasks of a step, as far as they divide them; on a CPU ask for one a core.",
    lower_bound=1,
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of training and of all held-out episodes.", lower_bound=0)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder.")
for module in (methods, workdir):
    flags.adopt_module_key_flags(module)

Judge = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]  # rows -> figures beside published ones


def data_dir() -> Path | None:
    """What --data_dir says."""
    return Path(DATA_DIR.value) if DATA_DIR.value else None


def shapes() -> list[Shape]:
    """The test episodes asked for, in the order ways, then shots.

    Raises:
      ValueError: not whole numbers above 0.
    """
    numbers = {}
    for flag in (WAYS, SHOTS):
        for text in flag.value or [""]:
            if not (text.isascii() and text.isdigit() and int(text)):
                raise ValueError(f"--{flag.name}: {text!r} is not a whole number above 0.")
        numbers[flag.name] = sorted({int(text) for text in flag.value})
    return [Shape(ways, shots, QUERY.value) for ways in numbers["ways"] for shots in numbers["shots"]]


def budget() -> Budget:
    """How long each learner is trained.

    Raises:
      ValueError: both --steps and --minutes are given.
    """
    if methods.STEPS.value and MINUTES.value:
        raise ValueError("--steps and --minutes: give one of the two.")
    return Budget(methods.STEPS.value, MINUTES.value, DEVICES.value)


def run(world: World, default: list[str], folder: Path, log: Log, judge: Judge) -> dict[str, Any]:
    """Everything between the flags and the content of results.json.

    Args:
      world: what is compared on what.
      default: the learners where --learners is not given.
      folder: of the run.
      log: of the training.
      judge: sets rows beside published figures.
    """
    begun = time.perf_counter()
    learners = methods.chosen(LEARNERS, list(world.methods), default)
    baselines = methods.chosen(BASELINES, list(world.baselines))
    found: dict[Shape, dict[str, Outcome]] = {}
    settings = {shape: make_setting(world, shape, SEED.value, EPISODES.value) for shape in shapes()}
    for shape, setting in settings.items():
        found[shape] = {name: run_baseline(name, world, setting, folder) for name in baselines}
        for name in learners:
            found[shape][name] = run_learner(name, world, setting, budget(), folder, log)
            logging.info("%s, %s: %.4f", name, shape, found[shape][name].accuracy.mean())
    rows = [
        row(name, shape, outcomes, name in learners, world) for shape, outcomes in found.items() for name in outcomes
    ]
    parts = {part: len(members) for part, members in world.classes.parts.items()}
    sizes = {"test episodes": EPISODES.value, "queries a class": QUERY.value, "seed": SEED.value}
    return {
        "schema": SCHEMA,
        "dataset": {"name": world.classes.name, "source": world.classes.source} | parts,
        "protocol": sizes | _said(world),
        "pictures": world.texts is None,
        "rows": rows,
        "figures": judge(rows),
        "notes": {name: world.methods[name].note for name in learners if world.methods[name].note},
        "curves": _curves(world, learners, list(found), log),
        "examples": [one for shape, each in found.items() for one in example_episodes(world, settings[shape], each)],
        "timing": {"total": round(time.perf_counter() - begun, 1)},
        "environment": environment(),
    }


def _said(world: World) -> dict[str, str]:
    """What else there is to know of the classes."""
    parts = world.classes.parts
    said = {
        "quarter turns": ("are classes of their own", world.rotations),
        "mirror images": ("are classes of training", world.mirrored),
        "training examples": ("are changed a little", world.changed is not None),
        "validation classes": ("are trained on", np.isin(parts["valid"], parts["train"]).any()),
    }
    return {what: text for what, (text, is_so) in said.items() if is_so}


def row(name: str, shape: Shape, outcomes: dict[str, Outcome], learner: bool, world: World) -> dict[str, Any]:
    """One method at one shape: accuracy with its 95% interval, and for a learner the difference from the best baseline
    that sees no more than it does, which is chosen on these very episodes, in its favour."""
    outcome = outcomes[name]
    episodes = np.arange(len(outcome.accuracy))
    sees_queries = (world.methods if learner else world.baselines)[name].transductive
    rivals = {
        other: each.accuracy
        for other, each in outcomes.items()
        if other in world.baselines and (sees_queries or not world.baselines[other].transductive)
    }
    versus = None
    if learner and rivals:
        best = max(rivals, key=lambda other: rivals[other].mean())
        versus = {"baseline": best} | intervals.compare(outcome.accuracy, rivals[best], episodes, False)._asdict()
    return {
        "name": name,
        "kind": "learner" if learner else "baseline",
        "ways": shape.ways,
        "shots": shape.shots,
        "accuracy": intervals.estimate(outcome.accuracy, episodes, root=False)._asdict(),
        "validation": outcome.validation,
        "versus": versus,
        "transductive": sees_queries,
        "settings": outcome.settings,
        "seconds": round(outcome.seconds, 1),
    }


def _curves(world: World, learners: list[str], shapes: list[Shape], log: Log) -> dict[str, list[dict[str, Any]]]:
    """Training run -> its records: step, loss, valid_accuracy, seconds."""
    names = dict.fromkeys(label(name, world.methods[name].trained(shape)) for name in learners for shape in shapes)
    return {name: log.curve(SEED.value, name) for name in names}


def main(
    argv: list[str],
    program: ModuleType,
    name: str,
    make: Callable[[], tuple[World, list[str]]],
    judge: Judge = lambda rows: [],
) -> None:
    """Run, or show what an earlier run in this work directory found.

    Args:
      argv: the command line after the flags were taken from it.
      program: the script, with `EXPERIMENT`, whose flags these are.
      name: of the run, for people.
      make: the world and the learners that are run by default.
      judge: sets rows beside published figures.
    """
    with one_line_errors():
        only_flags(argv)
        shapes(), budget()
        text = stamp(program, ())
        folder = claim(program.EXPERIMENT, name, text)
        path = folder / "results.json"
        if path.exists():
            print(f"{folder} is done already; this is what it found.\n")
            found = json.loads(path.read_text())
        else:
            if DEVICES.value > 1:  # one has as many threads as there are cores, which is faster
                make_devices(DEVICES.value)
            world, default = make()
            mark(folder, text, {})
            found = {"experiment": program.EXPERIMENT, "title": program.TITLE}
            found |= run(world, default, folder, Log(folder / "metrics.jsonl"), judge)
            found = json.loads(json.dumps(plain(found)))  # as it will be read
            if any(found["curves"].values()):
                plots.save_figure(few_shot.curves_figure(found), folder / "curves.png")
            write_atomic(folder / "report.html", few_shot.html_page(found).encode())
            write_atomic(path, json.dumps(found, indent=1, allow_nan=False).encode() + b"\n")
    print(few_shot.text_table(found))
    print(f"\nAll of it, with plots: {folder / 'report.html'}")
