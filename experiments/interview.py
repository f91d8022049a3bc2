"""Which items should a new user be asked about? Four ways to choose, error after 0..10 questions.

    scripts/run.sh experiments/interview.py --dataset=ml-1m
    scripts/run.sh experiments/interview.py --dataset=ml-1m --ask=any
    scripts/run.sh experiments/interview.py --part=valid      # the users that all choices were made on

A test user is asked about one item after another; an answer exists if it is among the user's ratings and not among the
ten that are predicted, whose items nobody is asked about. With --ask=known items are asked about that the user has
rated, so that every question is answered: the pool-based protocol of active learning for collaborative filtering (Jin
and Si 2004, "A Bayesian approach toward active learning for collaborative filtering", UAI), and what a list does from
which the user picks what is known. What the choice is worth does not mix with what people know; its limit is that no
system knows beforehand what somebody can answer. With --ask=any every item may be asked about, and a question that
cannot be answered counts, as on a sign-up page that asks one thing after another (Rashid et al. 2002, "Getting to know
you", IUI; Golbandi et al. 2011, "Adaptive bootstrapping of recommender systems using decision trees", WSDM). The limits
of both: somebody who has not rated an item may still know it, and ratings that were asked for may differ from those
that were given unasked.

Items are chosen at random; the popular ones first; by MeLU's score; and by what an answer tells of all other ratings
(`metarec_jax/serve/interview.py`), which uses a Gaussian process fitted to the training users and no learner. The
same answers go to every learner. All choices were made on validation users (`docs/research_log_interview.md`).

Result, RMSE on MovieLens-1M after five questions about known items, with --seeds=3: ridge 0.9359, with MeLU's questions
0.9538, with popular items 0.9541, with random ones 0.9396; paired over users the variance's are better by 0.0179
[0.0110, 0.0251], 0.0183 [0.0114, 0.0256] and, not to be told apart, 0.0037 [-0.0021, 0.0096]. ALPaCA 0.9391, 0.9542,
0.9546, 0.9439: better by 0.0151 [0.0083, 0.0222], 0.0155 [0.0088, 0.0225] and 0.0049 [-0.0010, 0.0106]. With one seed
(589 users) ridge's first two are significant too, ALPaCA's just not: 0.0112 [-0.0006, 0.0223] and 0.0107 [-0.0007,
0.0214]. So where every question is answered the popular items are a poor interview, and random ones are hard to beat.
With --ask=any the variance's questions get 2.1 of 5 answered and popular ones 2.3; ridge after five 0.9653, with MeLU's
and popular ones 0.9685 and 0.9686, which cannot be told apart (0.0033 [-0.0002, 0.0067]), after ten 0.9543 for 0.9616
and 0.9613, which is better by 0.0072 [0.0032, 0.0114] and 0.0069 [0.0027, 0.0111]; ALPaCA likewise.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from absl import app, flags

from experiments.common import cold_start, interview, runner
from experiments.common.cold_start import Plan
from experiments.common.command_line import parse
from experiments.common.environment import environment
from experiments.common.methods import Methods, parse_set
from experiments.common.questions import USER_COLD_START
from experiments.common.runner import Protocol, Trial
from metarec_jax.eval import intervals
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes import RECIPES
from metarec_jax.report import interview as pages
from metarec_jax.report import results
from metarec_jax.tasks.splits import HeldOut, Split

EXPERIMENT = "interview"
QUESTION = USER_COLD_START._replace(
    name=EXPERIMENT,
    methods=Methods({}, {name: recipe for name, recipe in RECIPES.items() if recipe.kind == "learner"}),
    learners=["ridge", "alpaca"],
    protocol=Protocol([0, 1, 3, 5, 10], query=10, order="random"),
)
ASK = flags.DEFINE_enum("ask", "known", ["known", "any"], "Items that a user may be asked about.")
QUESTIONS = flags.DEFINE_integer("questions", 10, "Questions to a user.", lower_bound=1)
PART = flags.DEFINE_enum("part", "test", ["test", "valid"], "The held-out users that are asked.")
flags.adopt_module_key_flags(cold_start)
CHOICES = "questions"  # the folder of what was asked


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything between the flags and the results dict."""
    spread = cold_start.spread()
    material = cold_start.prepare(QUESTION, cold_start.AT_EVERY_K, plan, folder)
    timing: dict[str, float] = {"load": material.seconds}
    changes = parse_set([], QUESTION.methods.recipes, ["melu"], {}) | plan.changes
    asked: dict[int, pl.DataFrame] = {}  # by seed

    def train(name: str, trial: Trial) -> runner.Trained:
        recipe = QUESTION.methods.recipes[name]
        return runner.train_learner(name, recipe, changes[name], trial, material.log, spread)

    def users(trial: Trial) -> interview.Users:
        return interview.held_out_users(material.ratings, part(material.splits[trial.seed]), ASK.value == "any")

    def work(name: str, trial: Trial) -> runner.Outcome:
        def choose() -> tuple[pl.DataFrame, dict[str, Any]]:
            found = train("melu", trial)
            chosen = interview.choose(trial, users(trial), found, QUESTIONS.value)
            return interview.choice_frame(trial, material.ratings, chosen), {"melu": found.settings}

        def answer() -> tuple[pl.DataFrame, dict[str, Any]]:
            found = train(name, trial)
            frame = interview.errors(name, trial, users(trial), found, asked[trial.seed])
            return frame, {str(q): found.settings for q in range(QUESTIONS.value + 1)}

        if name != CHOICES:
            return runner.run_once(name, "learner", "rating", trial.folder / EXPERIMENT / name, answer)
        outcome = runner.run_once(name, "baseline", "rating", trial.folder / EXPERIMENT / name, choose)
        asked[trial.seed] = outcome.predictions
        return outcome

    outcomes = cold_start.each([CHOICES, *plan.methods], material.trials, work, timing)
    write_atomic(folder / "questions.parquet", cold_start.all_rows({CHOICES: outcomes.pop(CHOICES)}))
    write_atomic(folder / "errors.parquet", cold_start.all_rows(outcomes))
    return write_up(material, outcomes, pl.concat(asked.values()), timing)


def part(split: Split) -> HeldOut:
    """The held-out users that are asked."""
    return split.test if PART.value == "test" else split.valid


def write_up(material: cold_start.Material, outcomes, asked: pl.DataFrame, timing: dict[str, float]) -> dict[str, Any]:
    """The content of results.json: schema 1 (`metarec_jax/report/results.py`), K the number of questions."""
    rows = []
    for name, found in outcomes.items():
        frame = pl.concat([outcome.predictions for outcome in found])
        for q in range(QUESTIONS.value + 1):
            errors = {way: at(frame, way, q) for way in interview.WAYS}
            settings = {"settings": found[0].info["settings"][str(q)]}
            rows += [row(name, way, q, errors, asked) | settings for way in interview.WAYS]
    first, seeds = material.trials[0], [trial.seed for trial in material.trials]
    return {
        "schema": results.SCHEMA,
        "experiment": EXPERIMENT,
        "asked": f"{PART.value} users, {ASK.value} items",
        "dataset": cold_start.facts(material.ratings),
        "split": {"sha256": material.hashes, f"{PART.value}_tasks": len(part(material.splits[first.seed]).users)},
        "seeds": seeds,
        "rows": rows,
        "questions": interview.often_asked(material.ratings, asked),
        "curves": {name: material.log.curve(seeds[0], name) for name in ("melu", *outcomes)},
        "timing": {stage: round(seconds, 2) for stage, seconds in timing.items()},
        "environment": environment(),
    }


def at(frame: pl.DataFrame, way: str, q: int) -> pl.DataFrame:
    """A learner's errors after q questions that were chosen this way, one row a task."""
    return frame.filter(pl.col("way") == way, pl.col("questions") == q)


def row(name: str, way: str, q: int, errors: dict[str, pl.DataFrame], asked: pl.DataFrame) -> dict[str, Any]:
    """Error of a learner after q questions, number of answers, and the paired difference from every other way."""
    own = errors[way]
    users, error = own["user"].to_numpy(), own["error"].to_numpy()
    given = asked.filter(pl.col("way") == way, pl.col("place") < q)
    answers = float(given["answered"].sum()) / len(own)
    against = {
        other: intervals.compare(error, rival["error"].to_numpy(), users, True)._asdict()
        for other, rival in errors.items()
        if other != way
    }
    return {
        "name": f"{name}, {way}",
        "kind": "learner",
        "learner": name,
        "way": way,
        "shots": q,
        "metrics": {"rmse": intervals.estimate(error, users, True)._asdict()},
        "answers": answers,
        "against": against,
    }


def report(found: dict[str, Any], folder: Path) -> None:
    """Write results.json last: it says that the run is complete."""
    write_atomic(folder / "report.html", pages.html_page(results.plain(found)).encode())
    results.write_json(folder / "results.json", found)


make_plan = partial(cold_start.make_plan, QUESTION, sys.modules[__name__])
main = partial(cold_start.conduct, EXPERIMENT, make_plan=make_plan, run=run, report=report, text=pages.text_table)

if __name__ == "__main__":
    app.run(main, flags_parser=parse)
