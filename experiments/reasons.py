"""Why does a learner predict what it predicts, and is that true? Influences of a new user's ratings, put to the test.

    scripts/run.sh experiments/reasons.py
    scripts/run.sh experiments/reasons.py --learners=attentive_ridge --shots=5,20

For every test user, predicted item and known rating the influence by weight (`metarec_jax/serve/explain.py`) predicts
what leaving the rating out would do; then it is left out. The page shows what a person would be told: for the one of
the user's ten predicted items that is predicted highest, the ratings that speak for and against it.

Result on MovieLens-100K, 10,000 predictions at K = 10, correlation of the foretold and the true effect: prototypes
0.959 [0.953, 0.965], MAML 0.999 [0.998, 0.999], ridge 0.986 [0.984, 0.988], the Gaussian process 0.993 [0.992, 0.994].
Leaving out the most influential rating moves the prediction the way that was foretold in 99.9% of the cases or more, by
0.135, 0.143, 0.191 and 0.171 stars, and by 0.073 [0.065, 0.081], 0.087 [0.080, 0.094], 0.133 [0.123, 0.143] and 0.119
[0.110, 0.128] more than leaving out a random one. Of heads of closed form the first order foretells too little: in
truth a rating's leverage is gone with it.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from absl import app, flags, logging

from experiments.common import cold_start, runner
from experiments.common.cold_start import Plan
from experiments.common.command_line import parse
from experiments.common.environment import environment
from experiments.common.methods import Methods
from experiments.common.questions import USER_COLD_START
from experiments.common.runner import Protocol, Trial
from metarec_jax.baselines import BASELINES
from metarec_jax.data.table import Ratings
from metarec_jax.eval import intervals
from metarec_jax.eval.grid_search import Shots, tune
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes import RECIPES
from metarec_jax.report import reasons, results
from metarec_jax.serve.explain import explain_tasks, reason

EXPERIMENT = "reasons"
QUESTION = USER_COLD_START._replace(
    name=EXPERIMENT,
    methods=Methods(
        {"gp": BASELINES["gp"]}, {name: recipe for name, recipe in RECIPES.items() if recipe.kind == "learner"}
    ),
    learners=["protonet", "maml", "ridge"],
    protocol=Protocol([10], query=10, order="random"),
)
EXAMPLES = flags.DEFINE_integer("examples", 12, "Test users whose reasons are shown.", lower_bound=1)
flags.adopt_module_key_flags(cold_start)
POINTS = 400  # of foretold and true effects in the picture of a method


def make_plan() -> Plan:
    """Check all flags.

    Raises:
      ValueError: one is wrong, or would do nothing.
    """
    plan = cold_start.make_plan(QUESTION, sys.modules[__name__])
    if not set(plan.protocol.shots).isdisjoint({0, "all"}):
        raise ValueError("--shots: reasons are ratings that are known, the same number for everybody: 1 or more.")
    return plan


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything between the flags and the results dict."""
    spread = cold_start.spread()
    material = cold_start.prepare(QUESTION, cold_start.AT_EVERY_K, plan, folder)
    timing: dict[str, float] = {"load": material.seconds}

    def work(name: str, trial: Trial) -> runner.Outcome:
        def explained() -> tuple[pl.DataFrame, dict[str, Any]]:
            if name in plan.grids:
                baseline = QUESTION.methods.baselines[name].baseline
                tuned = list(tune(name, baseline, plan.grids[name], trial.train, trial.valid))
                ready = {k: runner.Trained(baseline, at.params, at.settings) for at in tuned for k in at.shots}
            else:
                recipe = QUESTION.methods.recipes[name]
                found = runner.train_learner(name, recipe, plan.changes[name], trial, material.log, spread)
                ready = dict.fromkeys(trial.protocol.shots, found)
            frames = [frame(name, k, trial, ready[k]) for k in trial.protocol.shots]
            return pl.concat(frames), {str(k): ready[k].settings for k in trial.protocol.shots}

        kind = "baseline" if name in plan.grids else "learner"
        return runner.run_once(name, kind, "rating", trial.folder / name, explained)

    outcomes = cold_start.each(plan.methods, material.trials, work, timing)
    write_atomic(folder / "influences.parquet", cold_start.all_rows(outcomes))
    return write_up(material, plan, outcomes, timing)


def frame(name: str, k: Shots, trial: Trial, ready: runner.Trained) -> pl.DataFrame:
    """One row a test task, predicted item and known rating: what the rating does, foretold and in truth."""
    tasks, ratings = trial.test[k], trial.ratings
    logging.info("%s, K = %s: %d predictions", name, k, tasks.query.mask.size)
    found = explain_tasks(ready.method, ready.params, tasks)
    task, query, known = np.nonzero(np.repeat(np.asarray(tasks.query.mask)[..., None], int(k), -1))
    users = ratings.user[trial.test_rows[k][:, 0]]
    return pl.DataFrame(
        {
            "name": np.repeat([name], len(task)),
            "shots": np.full(len(task), int(k), np.int32),
            "seed": np.full(len(task), trial.seed, np.int32),
            "user": ratings.user_ids[users[task]],
            "item": ratings.item_ids[tasks.query.x.id[task, query]],
            "rating": tasks.query.y[task, query],
            "prediction": np.asarray(found.prediction)[task, query],
            "known_item": ratings.item_ids[tasks.support.x.id[task, known]],
            "known_rating": tasks.support.y[task, known],
            "by_rating": np.asarray(found.by_rating)[task, query, known],
            "by_weight": np.asarray(found.by_weight)[task, query, known],
            "effect": np.asarray(found.effect)[task, query, known],
        }
    )


def write_up(material: cold_start.Material, plan: Plan, outcomes, timing: dict[str, float]) -> dict[str, Any]:
    """The content of results.json: schema 1 (`metarec_jax/report/results.py`), and examples and points."""
    frames = {name: pl.concat([outcome.predictions for outcome in found]) for name, found in outcomes.items()}
    last = max(plan.protocol.shots)
    rows = [
        row(name, k, frame.filter(pl.col("shots") == k))
        | {"kind": outcomes[name][0].info["kind"], "settings": outcomes[name][0].info["settings"][str(k)]}
        for name, frame in frames.items()
        for k in plan.protocol.shots
    ]
    seeds = list(material.splits)
    shown = {name: frame.filter(pl.col("shots") == last, pl.col("seed") == seeds[0]) for name, frame in frames.items()}
    return {
        "schema": results.SCHEMA,
        "experiment": EXPERIMENT,
        "dataset": cold_start.facts(material.ratings),
        "split": cold_start.describe(material.ratings, material.splits) | {"sha256": material.hashes},
        "seeds": seeds,
        "rows": rows,
        "examples": {name: examples(material.ratings, frame) for name, frame in shown.items()},
        "points": {name: points(frame) for name, frame in shown.items()},
        "curves": {name: material.log.curve(seeds[0], name) for name in outcomes if name in plan.changes},
        "timing": {stage: round(seconds, 2) for stage, seconds in timing.items()},
        "environment": environment(),
    }


def row(name: str, k: int, frame: pl.DataFrame) -> dict[str, Any]:
    """What is said of a method at one K: how well influences foretell, what the most influential ratings do."""
    foretold, effect = (frame[column].to_numpy().reshape(-1, k) for column in ("by_weight", "effect"))
    foretold, users = -foretold, frame["user"].to_numpy().reshape(-1, k)
    every = np.arange(len(effect))
    most, other = np.abs(foretold).argmax(1), np.random.default_rng(0).integers(k, size=len(effect))
    moved, sign = effect[every, most], np.sign(foretold[every, most])
    of_any = np.abs(effect[every, other])
    estimates = {
        "correlation": intervals.correlation(foretold.ravel(), effect.ravel(), users.ravel()),
        "foretold": intervals.estimate(np.abs(foretold[every, most]), users[:, 0], False),
        "moved": intervals.estimate(moved * sign, users[:, 0], False),
        "right way": intervals.estimate((moved * sign > 0).astype(float), users[:, 0], False),
        "random": intervals.estimate(of_any, users[:, 0], False),
    }
    beyond = intervals.compare(np.abs(moved), of_any, users[:, 0], False)
    metrics = {metric: found._asdict() for metric, found in estimates.items()}
    return {"name": name, "shots": k, "metrics": metrics, "beyond_random": beyond._asdict()}


def examples(ratings: Ratings, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """For each of the first users the item that is predicted highest, and why."""
    titles = dict(zip(ratings.item_ids.tolist(), ratings.item_titles.tolist(), strict=True))
    found = []
    for user in frame["user"].unique(maintain_order=True)[: EXAMPLES.value]:
        own = frame.filter(pl.col("user") == user)
        best = own.filter(pl.col("item") == own["item"][own["prediction"].arg_max()])
        known = [titles[item] for item in best["known_item"]]
        given, influence = best["known_rating"].to_list(), best["by_weight"].to_list()
        of_item = {"user": user, "title": titles[best["item"][0]]}
        of_item |= {"prediction": best["prediction"][0], "rating": best["rating"][0]}
        found.append(of_item | {"reason": reason(known, given, influence)})
    return found


def points(frame: pl.DataFrame) -> list[list[float]]:
    """Some [foretold, true effect] of the frame, at random."""
    some = frame.sample(min(POINTS, len(frame)), seed=0)
    return [[-by_weight, effect] for by_weight, effect in some.select("by_weight", "effect").iter_rows()]


def report(found: dict[str, Any], folder: Path) -> None:
    """Write results.json last: it says that the run is complete."""
    write_atomic(folder / "report.html", reasons.html_page(results.plain(found)).encode())
    results.write_json(folder / "results.json", found)


main = partial(cold_start.conduct, EXPERIMENT, make_plan=make_plan, run=run, report=report, text=reasons.text_table)

if __name__ == "__main__":
    app.run(main, flags_parser=parse)
