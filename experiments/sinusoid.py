"""Sinusoid regression, the benchmark of the MAML paper (section 5.1), for seven learners and beside published figures.

    scripts/run.sh experiments/sinusoid.py
    scripts/run.sh experiments/sinusoid.py --methods=maml,cavia --shots=10 --steps=5000

Result, mean squared error at K = 10 on 600 test tasks, seed 0, in six minutes on two cores. After one gradient step:
CAVIA 0.217, Meta-SGD 0.239, MAML 0.408, FOMAML 0.465, Reptile 0.698, ANIL 1.05, iMAML 1.86. After five: CAVIA 0.035,
ANIL 0.114, MAML 0.144 (the paper's curve: about 0.2), FOMAML 0.188, Reptile 0.240, iMAML 0.95; Meta-SGD, whose rates
are learnt for one step, diverges on 8 tasks. The page says what each was trained for and has K = 5.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags, logging

from experiments.common import methods, workdir
from experiments.common.command_line import one_line_errors, only_flags, parse
from experiments.common.environment import environment
from experiments.common.sinusoid import METHODS, Outcome, Setting, label, make_setting, protocol, run_method
from experiments.common.sinusoid_published import NOTES, WITHOUT, judge_figures, judge_orders, paired
from experiments.common.workdir import Log, claim, mark, stamp
from metarec_jax.eval import intervals
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import plots, sinusoid
from metarec_jax.report.results import plain

EXPERIMENT = "sinusoid"
SCHEMA = 1
METHODS_FLAG = flags.DEFINE_list("methods", "all", f"all, or some of {','.join(METHODS)}.")
SHOTS = flags.DEFINE_list("shots", "5,10", "Points of a wave to adapt to, K, in training and in tests.")
TASKS = flags.DEFINE_integer("tasks", 600, "Test tasks.", lower_bound=2)
SEED = flags.DEFINE_integer("seed", 0, "Seed of training and of the validation and test tasks.", lower_bound=0)
for module in (methods, workdir):
    flags.adopt_module_key_flags(module)


def parse_shots() -> list[int]:
    """The Ks, ascending.

    Raises:
      ValueError: one is not a whole number above 0.
    """
    for text in SHOTS.value or [""]:
        if not (text.isascii() and text.isdigit() and int(text)):
            raise ValueError(f"--shots: {text!r} is not a whole number above 0.")
    return sorted({int(text) for text in SHOTS.value})


def parse_methods() -> list[str]:
    """The methods asked for.

    Raises:
      ValueError: an unknown one, or none.
    """
    names = methods.chosen(METHODS_FLAG, list(METHODS))
    if not names:
        raise ValueError("--methods=none leaves nothing to run.")
    return names


def run(names: list[str], shots: list[int], text: str, folder: Path) -> dict[str, Any]:
    """Everything between the flags and the results dict."""
    begun = time.perf_counter()
    mark(folder, text, {})
    log, outcomes, settings, timing = Log(folder / "metrics.jsonl"), {}, {}, {}
    for k in shots:
        settings[k] = make_setting(k, SEED.value, TASKS.value, folder)
        for name in names:
            found = run_method(name, methods.STEPS.value, settings[k], log)
            logging.info("%s: %.1f s", label(name, k), found.seconds)
            outcomes[name, k] = found
            timing[label(name, k)] = round(found.seconds, 1)
    timing["total"] = round(time.perf_counter() - begun, 1)
    return write_up(outcomes, settings, log, timing)


def write_up(
    outcomes: dict[tuple[str, int], Outcome], settings: dict[int, Setting], log: Log, timing: dict[str, float]
) -> dict[str, Any]:
    """The content of results.json."""
    names, shots = list(dict.fromkeys(name for name, _ in outcomes)), list(settings)
    errors = {(name, k, n): error for (name, k), found in outcomes.items() for n, error in found.errors.items()}
    rows = [row(key, error, errors.get(("maml", *key[1:]))) for key, error in errors.items()]
    return {
        "schema": SCHEMA,
        "experiment": EXPERIMENT,
        "protocol": protocol() | {"test tasks": TASKS.value},
        "seed": SEED.value,
        "rows": rows,
        "figures": judge_figures(rows),
        "orders": judge_orders(errors, shots),
        "without": {name: why for name, why in WITHOUT.items() if name in names},
        "notes": {name: NOTES[name] for name in names},
        "settings": {name: outcomes[name, shots[0]].settings for name in names},
        "curves": {name: {k: log.curve(SEED.value, label(name, k)) for k in shots} for name in names},
        "examples": {k: example(settings[k], {name: outcomes[name, k] for name in names}) for k in shots},
        "timing": timing,
        "environment": environment(),
    }


def row(key: tuple[str, int, int], error: np.ndarray, of_maml: np.ndarray | None) -> dict[str, Any]:
    """One method at one K after so many gradient steps: mean with its 95% interval, median, difference from MAML."""
    name, shots, steps = key
    diverged = int(np.isinf(error).sum())
    mse = {"mean": np.inf, "low": np.nan, "high": np.nan}
    if not diverged:
        found = intervals.estimate(error, np.arange(len(error)), root=False)
        mse = {"mean": found.mean, "low": found.low, "high": found.high}
    versus = paired(error, of_maml) if of_maml is not None and name != "maml" else None
    own = {"name": name, "shots": shots, "steps": steps, "mse": mse, "median": float(np.median(error))}
    return own | {"diverged": diverged, "versus_maml": versus}


def example(setting: Setting, found: dict[str, Outcome]) -> dict[str, Any]:
    """One test task and what the methods make of it, for the plot."""
    i, task = setting.example, setting.test
    return {
        "x": np.asarray(task.query.x[i, :, 0]),
        "y": np.asarray(task.query.y[i]),
        "support_x": np.asarray(task.support.x[i, :, 0]),
        "support_y": np.asarray(task.support.y[i]),
        "predictions": {name: outcome.example for name, outcome in found.items()},
    }


def report(found: dict[str, Any], folder: Path) -> None:
    """Write results.json last: it says that the run is complete."""
    for k in sinusoid.shots(found):
        plots.save_figure(sinusoid.curves_figure(found, k), folder / f"curves_{k}_shots.png")
    plots.save_figure(sinusoid.errors_figure(found), folder / "errors.png")
    write_atomic(folder / "report.html", sinusoid.html_page(found).encode())
    write_atomic(folder / "results.json", json.dumps(found, indent=1, allow_nan=False).encode() + b"\n")


def main(argv: list[str]) -> None:
    """Run, or show what an earlier run in this work directory found."""
    with one_line_errors():
        only_flags(argv)
        names, shots, text = parse_methods(), parse_shots(), stamp(sys.modules[__name__], ())
        folder = claim(EXPERIMENT, "all" if names == list(METHODS) else "-".join(names), text)
        path = folder / "results.json"
        if path.exists():
            print(f"{folder} is done already; this is what it found.\n")
            found = json.loads(path.read_text())
        else:
            found = json.loads(json.dumps(plain(run(names, shots, text, folder))))  # as it will be read
            report(found, folder)
    print(sinusoid.text_table(found))
    print(f"\nAll of it, with plots: {folder / 'report.html'}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
