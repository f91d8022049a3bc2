"""Tuning with equal budgets: as many trials for every baseline as for every learner, on validation users only.

    scripts/run.sh experiments/tune.py --dataset=ml-100k --out=experiments/tuned/ml-100k.json
    scripts/run.sh --dataset=ml-100k --tuned=experiments/tuned/ml-100k.json
    scripts/run.sh experiments/tune.py --question=item_cold_start --dataset=ml-100k

A trial of a learner is a meta-training with early stopping, worth the mean over K of its validation RMSE. A trial of a
baseline is a fit, scored at every K, and the best settings are kept for every K apart (nDCG@5 for those that only
rank). The first trial of a method has its default settings, and the next ones of a baseline its grid, so that nothing
gets worse on the validation users; then Optuna's TPE sampler looks in the method's space. Settings with which a method
diverges lose. Nothing is made of the test users' ratings.

A run that was killed goes on with the same command: trials are in --storage, a SQLite file or a database. Any number of
processes may share one, each started with the same command and a --workdir of its own, also while others are at work:

    for worker in 1 2 3 4; do  # on one machine
        scripts/run.sh experiments/tune.py --dataset=ml-100k --storage=trials.sqlite --workdir=runs/worker$worker &
    done
    scripts/run.sh experiments/tune.py --dataset=ml-100k --workdir=runs/$(hostname) \
        --storage=postgresql+psycopg2://user@host/trials  # on every machine, for example by srun

They share out methods, and the trials of one method stay one after another: settings and values do not depend on the
number of processes, and each writes the same file when all methods are done. When one is killed, others take over its
method after half a minute without a sign of life.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import app, flags
from tqdm import tqdm

from experiments.common import dataflags, jobs, methods, runner, workdir
from experiments.common.command_line import one_line_errors, only_flags, parse, refuse
from experiments.common.methods import chosen
from experiments.common.one_program import OneProgram
from experiments.common.questions import QUESTIONS, ColdStart
from experiments.common.workdir import claim, mark, stamp
from metarec_jax.baselines import Entry
from metarec_jax.eval.grid_search import badness, fit_defaults
from metarec_jax.recipes.base import Recipe, hyperparameters
from metarec_jax.search.storage import open_storage
from metarec_jax.search.study import Evaluate, Method, Settings, search, starts
from metarec_jax.search.tuned import EVERY_K, text_table, write_tuned

EXPERIMENT = "tune"
QUESTION = flags.DEFINE_enum("question", "user_cold_start", list(QUESTIONS), "The experiment to tune for.")
METHODS = flags.DEFINE_list("methods", "all", "all, or names of methods; a wrong name shows all of them.")
TRIALS = flags.DEFINE_integer("trials", 20, "Trials of every method.", lower_bound=1)
STORAGE = flags.DEFINE_string(
    "storage",
    None,
    "Where the trials are, which processes may share: a SQLite file on one machine; on several the URL of a database, "
    "postgresql+psycopg2://user:password@host/name (pip install psycopg2-binary) or "
    "mysql+pymysql://user:password@host/name (pip install pymysql). Default: a file in the work directory.",
)
OUT = flags.DEFINE_string("out", None, "File of the best settings; default tuned.json in the work directory.")
for shared in (dataflags, methods, workdir):
    flags.adopt_module_key_flags(shared)


class Plan(NamedTuple):
    """What the flags ask for, checked before anything is read or written."""

    question: ColdStart
    methods: list[str]
    protocol: runner.Protocol
    stamp: str  # the flags, as flags.txt
    identity: str  # those that a trial's value depends on


def make_plan() -> Plan:
    """Check all flags.

    Raises:
      ValueError: one is wrong, or would do nothing.
    """
    question = QUESTIONS[QUESTION.value]
    known = question.methods
    names = chosen(METHODS, [*known.classics, *known.learners])
    if not names:
        raise ValueError("--methods=none leaves nothing to tune.")
    idle = [*dataflags.idle_flags()]
    if not any(name in known.recipes for name in names):
        idle.append((methods.STEPS, "needs a method that is trained"))
    left_out, module = refuse(idle), sys.modules[__name__]
    identity = stamp(module, [*left_out, METHODS.name, TRIALS.name])
    return Plan(question, names, dataflags.parse_protocol(question), stamp(module, left_out), identity)


def baseline_method(name: str, entry: Entry, trial: runner.Trial) -> Method:
    """A classical method: one fit a trial, scored at every K."""
    defaults = fit_defaults(entry.baseline)
    sign, metric = (1, "rmse") if entry.baseline.output == "rating" else (-1, "ndcg@5")

    def evaluate(settings: Settings) -> dict[str, float]:
        params = entry.baseline.fit(trial.train, **settings)
        return {str(k): sign * badness(name, entry.baseline, params, tasks) for k, tasks in trial.valid.items()}

    fixed = {key: value for key, value in defaults.items() if key not in entry.space}
    first = starts(entry.space, [defaults, *(defaults | settings for settings in entry.grid)])
    return Method(name, metric, entry.space, first, fixed, lambda: evaluate)


def learner_method(name: str, recipe: Recipe, trial: runner.Trial) -> Method:
    """A method that is trained: one meta-training a trial."""
    steps = {} if methods.STEPS.value is None else {"steps": methods.STEPS.value}
    own, outer = hyperparameters(recipe, steps, name)
    defaults = own | vars(outer)

    def build() -> Evaluate:
        tasks = runner.user_tasks(trial)
        programs = OneProgram(recipe, trial.train, tasks.sample)

        def evaluate(settings: Settings) -> dict[str, float]:
            own, outer = hyperparameters(recipe, steps | settings, name)
            built = recipe.build(trial.train, **own)
            job = jobs.make_job(name, built, outer, trial.seed, tasks, trial.valid, programs.at(own, outer))
            with tqdm(total=job.steps, desc=f"{name:24}", unit="step", leave=False, dynamic_ncols=True) as bar:
                return {EVERY_K: float(job.fit(job.start, on_chunk=partial(_show, bar)).best_value)}

        return evaluate

    fixed = {key: value for key, value in defaults.items() if key not in recipe.space}
    return Method(name, "rmse", recipe.space, starts(recipe.space, [defaults]), fixed, build)


def _show(bar: tqdm, run, progress) -> None:
    """A chunk of training that is done."""
    bar.set_postfix(valid_rmse=f"{progress.valid:.4f}", best=f"{float(run.best_value):.4f}", refresh=False)
    bar.update(progress.step - bar.n)


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """All trials; the content of the file of tuned settings. Nothing is written before data and split are in order."""
    seed = dataflags.SEED.value
    question = plan.question
    ratings = question.table(dataflags.load_ratings())
    split = dataflags.load_split(question, ratings, seed)
    trial = runner.make_trial(seed, ratings, split, plan.protocol, folder, unseen=question.unseen, test=False)
    mark(folder, plan.stamp, {"ratings": ratings.sha256, "splits": [split.sha256]})
    storage = open_storage(STORAGE.value or str(folder / "trials.sqlite"))
    recipes, baselines = question.methods.recipes, question.methods.baselines
    tried = [
        learner_method(name, recipes[name], trial) if name in recipes else baseline_method(name, baselines[name], trial)
        for name in plan.methods
    ]
    identity = f"{plan.identity}{ratings.sha256}\n{split.sha256}"
    with tqdm(total=TRIALS.value * len(tried), unit="trial", dynamic_ncols=True) as bar:
        # Every trial compiles programs of its own, which would pile up.
        found = search(tried, storage, identity, TRIALS.value, seed, bar, turn=jax.clear_caches)
    return {
        "question": question.name,
        "dataset": {"name": ratings.name, "sha256": ratings.sha256},
        "split": split.sha256,
        "seed": seed,
        "trials": TRIALS.value,
        "steps": methods.STEPS.value,
        **plan.protocol._asdict(),
        "methods": found,
    }


def main(argv: list[str]) -> None:
    """Do the trials that are left, and write and show the best settings."""
    with one_line_errors():
        only_flags(argv)
        plan = make_plan()
        folder = claim(EXPERIMENT, dataflags.label(), plan.stamp)
        content = run(plan, folder)
        out = Path(OUT.value) if OUT.value else folder / "tuned.json"
        write_tuned(out, content)
    print(text_table(content))
    print(f"\nFor --tuned={out}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
