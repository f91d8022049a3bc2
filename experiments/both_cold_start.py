"""New users on new items: nothing that is asked about, and nobody who is asked, occurs in training.

    scripts/run.sh experiments/both_cold_start.py --seeds=3
    scripts/run.sh experiments/both_cold_start.py --dataset=ml-1m

The support of a test user are ratings of new items too, so that a learner has content alone to go by, and what the
user's few ratings say of it.
"""

from experiments import measure
from experiments.main import protocol
from metarec_jax import benchmarks

main = measure.script("both_cold_start", __doc__, lambda options: benchmarks.both_cold_start(**protocol(options)))

if __name__ == "__main__":
    main()
