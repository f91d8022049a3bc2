"""New users on new items: nothing that is asked about, and nobody who is asked, occurs in training.

    scripts/run.sh experiments/both_cold_start.py --seeds=3
    scripts/run.sh experiments/both_cold_start.py --dataset=ml-1m

The support of a test user are ratings of new items too, so that a learner has content alone to go by, and what the
user's few ratings say of it.
"""

import sys
from functools import partial

from absl import app, flags

from experiments.common import cold_start
from experiments.common.command_line import parse
from experiments.common.questions import BOTH_COLD_START

EXPERIMENT = BOTH_COLD_START.name
flags.adopt_module_key_flags(cold_start)
main = partial(cold_start.main, BOTH_COLD_START, sys.modules[__name__])

if __name__ == "__main__":
    app.run(main, flags_parser=parse)
