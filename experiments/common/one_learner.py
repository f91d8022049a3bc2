"""Experiments that put one trained learner to use: its flags, and its training, which goes on from a checkpoint."""

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from absl import flags

from experiments.common import cold_start, dataflags, runner
from experiments.common.command_line import refuse
from experiments.common.methods import parse_set
from experiments.common.questions import USER_COLD_START, ColdStart
from experiments.common.workdir import Log, claim, mark, stamp
from metarec_jax.data.table import Ratings
from metarec_jax.tasks.splits import Split
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Learner, Params

RECIPES = USER_COLD_START.methods.recipes
LEARNER = flags.DEFINE_enum("learner", "ridge", USER_COLD_START.methods.learners, "The learner.")
for name in ("dataset", "data_dir", "ratings", "columns", "content", "query", "seed", "set", "steps", "workdir"):
    flags.declare_key_flag(name)


class Use(NamedTuple):
    """A trained learner, and what it was trained on."""

    learner: Learner
    params: Params
    ratings: Ratings
    split: Split
    folder: Path


def train(experiment: ModuleType, question: ColdStart) -> Use:
    """Train the learner that the flags ask for, as `user_cold_start.py` does.

    Args:
      experiment: the module of the script.
      question: of users, with the Ks that it is trained for.

    Raises:
      ValueError: a flag is wrong, or would do nothing.
    """
    changes = parse_set(cold_start.SET.value, RECIPES, [LEARNER.value], {})[LEARNER.value]
    protocol = dataflags.parse_protocol(question)
    own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(experiment)}
    strange = [flag for flag in (dataflags.SHOTS, dataflags.SPLIT) if flag.name not in own]
    other = [(flag, "is not a flag of this experiment") for flag in strange]
    text = stamp(experiment, refuse([*dataflags.idle_flags(), *other]))
    ratings = dataflags.load_ratings()
    split = dataflags.load_split(question, ratings, dataflags.SEED.value)
    folder = claim(experiment.EXPERIMENT, dataflags.label(), text)
    mark(folder, text, {"ratings": ratings.sha256, "splits": [split.sha256]})
    trial = runner.make_trial(dataflags.SEED.value, ratings, split, protocol, folder, test=False)
    log = Log(folder / "metrics.jsonl")
    learner, params, _ = runner.train_learner(LEARNER.value, RECIPES[LEARNER.value], changes, trial, log, Sharding())
    return Use(learner, params, ratings, split, folder)
