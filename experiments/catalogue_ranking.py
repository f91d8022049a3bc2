"""Does meta-learning help to rank the whole catalogue for cold users, from K items that they liked?

    scripts/run.sh experiments/catalogue_ranking.py                             # MovieLens-100K, all methods
    scripts/run.sh experiments/catalogue_ranking.py --dataset=ml-1m
    scripts/run.sh experiments/catalogue_ranking.py --liked=any                 # whatever was rated counts
    scripts/run.sh experiments/catalogue_ranking.py --rank=users                # new items: all users, by who likes it

Result, nDCG@10 at K = 3, 5, 10, three seeds: on MovieLens-1M the neighbour encoder has 0.484, 0.514, 0.577, the best
classic 0.460, 0.480, 0.538; on MovieLens-100K 0.461, 0.492, 0.561 for 0.438, 0.474, 0.540; on goodbooks 0.436, 0.486,
0.549 for 0.418, 0.466, 0.533: better at each. At K = 1, and on MovieTweetings, it cannot be told from the best classic.
Commands are in docs/cold_starts.md.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from absl import app, flags

from experiments.common import catalogue, cold_start, dataflags, methods
from experiments.common.cold_start import Plan, compose, conduct
from experiments.common.command_line import parse, refuse
from experiments.common.methods import Methods, parse_set
from experiments.common.runner import Outcome, Protocol
from experiments.common.workdir import Log, mark, stamp
from metarec_jax.baselines import RANKING
from metarec_jax.eval.compare import result_rows
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes.ranking import RANKING_RECIPES
from metarec_jax.report import table
from metarec_jax.tasks.catalogue import default_threshold, liked_only, split_liked
from metarec_jax.tasks.split_file import write_split

EXPERIMENT = "catalogue_ranking"
METHODS = Methods(RANKING, RANKING_RECIPES)
SHOTS = [0, 1, 3, 5, 10]
LIKED = flags.DEFINE_string(
    "liked", None, "The rating from which an item is liked, or 'any'. Default: three quarters up the scale, 4 of 1..5."
)
RANK = flags.DEFINE_enum(
    "rank", "items", ["items", "users"], "What is ranked: all items for a new user, or all users for a new item."
)
LEAST = flags.DEFINE_integer("least", 15, "Held-out users like at least so many items.", lower_bound=2)
for name in (
    *("dataset", "data_dir", "ratings", "columns", "shots", "seed", "learners", "baselines", "set", "seeds"),
    *("devices", "parallel", "id_tables", "steps", "workdir"),
):
    flags.declare_key_flag(name)


def make_plan() -> Plan:
    """Check all flags.

    Raises:
      ValueError: one is wrong, or would do nothing.
    """
    learners, classics = cold_start.asked_methods(METHODS, METHODS.learners)
    idle = [*dataflags.idle_flags()]
    if not learners:
        idle += [(flag, "needs a method that is trained") for flag in (methods.STEPS, cold_start.ID_TABLES)]
    if cold_start.DEVICES.value == 1:
        idle.append((cold_start.PARALLEL, "needs --devices above 1"))
    other = (dataflags.SPLIT, dataflags.QUERY, dataflags.ORDER, dataflags.MIN_RATINGS, dataflags.MAX_RATINGS)
    refuse((flag, "is not a flag of this experiment") for flag in (*other, dataflags.HEAVY, cold_start.TUNED))
    shots = dataflags.parse_shots(SHOTS)
    if "all" in shots:
        raise ValueError("--shots: 'all' would leave nothing to be found; give numbers.")
    if max(shots) >= LEAST.value:
        raise ValueError(f"--least={LEAST.value} leaves nothing to be found after {max(shots)} items are known.")
    threshold(default=0.0)
    changes = parse_set(cold_start.SET.value, METHODS.recipes, learners, {})
    grids = {name: METHODS.baselines[name].grid for name in classics}
    text = stamp(sys.modules[__name__], refuse(idle))
    return Plan(classics + learners, changes, grids, None, Protocol(shots, query=0, order="random"), text)


def threshold(default: float) -> float:
    """The rating from which an item is liked.

    Raises:
      ValueError: --liked is neither a number nor "any".
    """
    if LIKED.value is None:
        return default
    try:
        return float("-inf") if LIKED.value == "any" else float(LIKED.value)
    except ValueError:
        raise ValueError(f"--liked={LIKED.value!r} is neither a number nor 'any'.") from None


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything between the flags and the results dict. Nothing is written before data and split are in order."""
    begun, spread = time.perf_counter(), cold_start.spread()
    ratings = dataflags.load_ratings()
    if RANK.value == "users":  # whom to show a new item: the same question with the roles exchanged
        ratings = ratings.transposed()
    liked = liked_only(ratings, threshold(default_threshold(ratings)))
    timing, first, shots = {"load": time.perf_counter() - begun}, dataflags.SEED.value, plan.protocol.shots
    splits = {
        seed: split_liked(liked, seed=seed, support=max(shots), least=LEAST.value)
        for seed in range(first, first + cold_start.SEEDS.value)
    }
    mark(folder, plan.stamp, {"ratings": ratings.sha256, "splits": [split.sha256 for split in splits.values()]})
    trials = [
        catalogue.make_trial(seed, ratings, liked, split, shots, folder / f"seed_{seed}")
        for seed, split in splits.items()
    ]
    for trial in trials:
        write_split(trial.folder / "split.parquet", liked, splits[trial.seed])
    log = Log(folder / "metrics.jsonl")

    def work(name: str, trial: catalogue.Trial) -> Outcome:
        if name in METHODS.recipes:
            return catalogue.run_learner(name, METHODS.recipes[name], plan.changes[name], trial, log, spread)
        return catalogue.run_baseline(name, METHODS.baselines[name].baseline, plan.grids[name], trial)

    outcomes = cold_start.each(plan.methods, trials, work, timing)
    write_atomic(folder / "per_task.parquet", cold_start.all_rows(outcomes))
    scores = [score for name, found in outcomes.items() for score in catalogue.scores(name, found, shots)]
    described, timing = cold_start.describe(liked, splits), timing | {"total": time.perf_counter() - begun}
    rows = result_rows(scores)
    return compose(EXPERIMENT, ratings, described, list(splits), rows, outcomes, log, timing)


main = partial(
    conduct, EXPERIMENT, make_plan=make_plan, run=run, text=partial(table.text_table, metric=catalogue.METRICS[0])
)

if __name__ == "__main__":
    app.run(main, flags_parser=parse)
