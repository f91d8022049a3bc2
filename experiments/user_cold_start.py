"""Does meta-learning help cold-start users? Learners and every simple method on the same held-out users, K = 0..20.

    scripts/run.sh                                            # MovieLens-100K, four learners, all baselines
    scripts/run.sh experiments/user_cold_start.py --dataset=ml-1m
    scripts/run.sh experiments/user_cold_start.py --ratings=mine.csv --columns=user=uid,item=isbn,rating=stars

Result with --seeds=3 on MovieLens-100K, RMSE at K = 5 and 10: attentive ridge 0.9684 and 0.9434, prototypes 0.9697 and
0.9482, MAML 0.9713 and 0.9495, the best baseline 0.9782 and 0.9541. The README has intervals, and splits that no
setting was chosen on.
"""

from experiments import measure
from experiments.main import protocol
from metarec_jax import benchmarks

main = measure.script("user_cold_start", __doc__, lambda options: benchmarks.user_cold_start(**protocol(options)))

if __name__ == "__main__":
    main()
