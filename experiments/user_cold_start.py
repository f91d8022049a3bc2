"""Does meta-learning help cold-start users? Learners and every simple method on the same held-out users, K = 0..20.

    scripts/run.sh                                            # MovieLens-100K, four learners, all baselines
    scripts/run.sh experiments/user_cold_start.py --dataset=ml-1m
    scripts/run.sh experiments/user_cold_start.py --ratings=mine.csv --columns=user=uid,item=isbn,rating=stars

Result, RMSE with --seeds=3 --learners=ridge,attentive_ridge: attentive ridge is better than the best baseline, a
Gaussian process over items, at K = 5 and 10 on MovieLens-1M (0.9371 for 0.9445 and 0.9146 for 0.9217), goodbooks
(0.9088 for 0.9212, 0.8816 for 0.8931), MovieTweetings (1.5081 for 1.5236, 1.4907 for 1.5007) and, just, MovieLens-100K
(0.9721 for 0.9782, 0.9490 for 0.9544). The README has intervals.
"""

import sys
from functools import partial

from absl import app, flags

from experiments.common import cold_start
from experiments.common.command_line import parse
from experiments.common.questions import USER_COLD_START

EXPERIMENT = USER_COLD_START.name
flags.adopt_module_key_flags(cold_start)
main = partial(cold_start.main, USER_COLD_START, sys.modules[__name__])

if __name__ == "__main__":
    app.run(main, flags_parser=parse)
