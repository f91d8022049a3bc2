"""Online: does a model of a user get better while he rates, faster than the classics?

    scripts/run.sh experiments/online.py                                  # MovieLens-100K, positions 0 to 100
    scripts/run.sh experiments/online.py --dataset=ml-1m --positions=51

Each rating of a test user is predicted from those before it, in the order of time, and then revealed. A column "K = 10"
is the error on the ratings at positions from 10 to where the next column begins; "all" are all positions. A user
counts once in each, however many ratings he has there. Methods with an exact `update` take a rating in by it, and
forget what they knew by a factor that is chosen on the validation users (1 forgets nothing); the others adapt to all
that is known anew; MAML does the better of that and a step on the newest rating.

Result on MovieLens-100K with --seeds=3, over positions 0 to 100: bias 0.9861, ridge 0.9555, ALPaCA 0.9551, Gaussian
process 0.9533, which cannot be told apart; MAML 0.9932, prototypes 1.0311.
"""

import sys
from functools import partial
from pathlib import Path

from absl import app, flags

from experiments.common import cold_start, online
from experiments.common.command_line import parse
from experiments.common.methods import Methods
from experiments.common.questions import USER_COLD_START, ColdStart
from experiments.common.runner import Protocol
from metarec_jax.data.table import Ratings
from metarec_jax.tasks.splits import Split

EXPERIMENT = "online"
STARTS = [0, 1, 5, 10, 20, 50]  # of the columns
POSITIONS = flags.DEFINE_integer("positions", 101, "Ratings of a user that are followed, at most.", lower_bound=2)
flags.adopt_module_key_flags(cold_start)

RATED = {name: of for name, of in USER_COLD_START.methods.baselines.items() if of.baseline.output == "rating"}
QUESTION = USER_COLD_START._replace(
    name=EXPERIMENT,
    methods=Methods(RATED, USER_COLD_START.methods.recipes),
    learners=["protonet", "maml", "ridge", "alpaca"],
    protocol=Protocol([0, 5, 10, 20, 50], query=10, order="time"),  # of meta-training and its validation
)


def make_trial(
    question: ColdStart, plan: cold_start.Plan, seed: int, ratings: Ratings, split: Split, folder: Path
) -> online.Trial:
    """The users of a split, as long as the flag says."""
    starts = [start for start in STARTS if start < POSITIONS.value]
    return online.make_trial(seed, ratings, split, plan.protocol, POSITIONS.value, starts, folder)


FLOW = cold_start.Flow(make_trial, online.run_baseline, online.run_learner, online.scores, same_query=False)
main = partial(cold_start.main, QUESTION, sys.modules[__name__], flow=FLOW)

if __name__ == "__main__":
    app.run(main, flags_parser=parse)
