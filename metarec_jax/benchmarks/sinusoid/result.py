"""The results of the sinusoid benchmark: what `report/sinusoid.py` shows."""

from typing import Any

import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Fold
from metarec_jax.benchmarks.result import Measured, PageResult, environment
from metarec_jax.benchmarks.sinusoid.published import NOTES, WITHOUT, judge_figures, judge_orders, paired
from metarec_jax.eval import intervals
from metarec_jax.report import sinusoid

SCHEMA = 1
TEST_STEPS = (0, 1, 5, 10)  # gradient steps at test time
QUERY = 100  # evenly spaced points, on validation and test tasks
TRAINING_QUERY = 10
VALIDATION_TASKS = 200
Errors = dict[tuple[str, int, int], np.ndarray]  # (method, K, gradient steps) -> [T], infinite where it diverged


class SinusoidResult(PageResult):
    """The results of the sinusoid benchmark."""

    page = sinusoid


def name_of(shots: int, steps: int) -> str:
    """K and the number of gradient steps, in the place of the shots."""
    return f"{shots}, {sinusoid.counted(steps)}"


def compose(measured: Measured) -> SinusoidResult:
    """Everything that a run knows, as results; curves and examples are of the first seed."""
    seeds, store = list(measured.folds), measured.store
    names = [recipe.name for recipe in measured.recipes]
    folds = {k: fold for fold in measured.folds[seeds[0]] for k in fold.held_out("test")}
    errors = _errors(measured, names, list(folds))
    rows = [_row(key, error, errors.get(("maml", *key[1:]))) for key, error in errors.items()]
    tasks = sum(len(each.users) for own in measured.folds.values() for each in own[0].held_out("test").values())
    return SinusoidResult(
        {
            "schema": SCHEMA,
            "experiment": measured.benchmark.name,
            "protocol": {
                "gradient steps": TEST_STEPS,
                "query points": QUERY,
                "query points in training": TRAINING_QUERY,
                "validation tasks": VALIDATION_TASKS,
                "test tasks": tasks,
            },
            "seed": seeds[0] if len(seeds) == 1 else seeds,
            "rows": rows,
            "figures": judge_figures(rows),
            "orders": judge_orders(errors, list(folds)),
            "without": {name: why for name, why in WITHOUT.items() if name in names},
            "notes": {name: NOTES[name] for name in names if name in NOTES},
            "settings": {name: _settings(measured, name) for name in names},
            "curves": {
                name: {k: store.curve(seeds[0], fold.label(name)) for k, fold in folds.items()} for name in names
            },
            "examples": {k: _example(measured, k, fold) for k, fold in folds.items()},
            "timing": {stage: round(seconds, 1) for stage, seconds in measured.timing.items()},
            "environment": environment(),
        }
    )


def _errors(measured: Measured, names: list[str], shots: list[int]) -> Errors:
    """Of all seeds, one after the other."""
    values = {name: pl.concat([outcome.values for outcome in measured.outcomes[name]]) for name in names}
    return {
        (name, k, steps): values[name].filter(pl.col("shots") == name_of(k, steps))["mse"].to_numpy()
        for k in shots
        for name in names
        for steps in TEST_STEPS
    }


def _row(key: tuple[str, int, int], error: np.ndarray, of_maml: np.ndarray | None) -> dict[str, Any]:
    """One method at one K after so many gradient steps: mean with its 95% interval, median, difference from MAML."""
    name, shots, steps = key
    diverged = int(np.isinf(error).sum())
    mse = {"mean": np.inf, "low": np.nan, "high": np.nan}
    if not diverged:
        estimate = intervals.estimate(error, np.arange(len(error)), root=False)
        mse = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    versus = paired(error, of_maml) if of_maml is not None and name != "maml" else None
    own = {"name": name, "shots": shots, "steps": steps, "mse": mse, "median": float(np.median(error))}
    return own | {"diverged": diverged, "versus_maml": versus}


def _settings(measured: Measured, name: str) -> dict[str, Any]:
    """The same at every K and number of steps."""
    settings = next(iter(measured.outcomes[name][0].info["settings"].values()))
    return {key: value for key, value in settings.items() if key != "patience"}


def _example(measured: Measured, shots: int, fold: Fold) -> dict[str, Any]:
    """One of the first ten test tasks, a wave with something to see, and what the methods make of it."""
    tasks = fold.held_out("test")[shots].tasks
    number = int(np.ptp(np.asarray(tasks.query.y[:10]), axis=1).argmax())
    predictions = {}
    for name, outcomes in measured.outcomes.items():
        own = pl.concat([outcome.predictions for outcome in outcomes]).filter(task=number, seed=fold.seed)
        by_steps = {steps: own.filter(pl.col("shots") == name_of(shots, steps)).sort("item") for steps in TEST_STEPS}
        predictions[name] = {steps: rows["prediction"].to_numpy() for steps, rows in by_steps.items()}
    return {
        "x": np.asarray(tasks.query.x[number, :, 0]),
        "y": np.asarray(tasks.query.y[number]),
        "support_x": np.asarray(tasks.support.x[number, :, 0]),
        "support_y": np.asarray(tasks.support.y[number]),
        "predictions": predictions,
    }
