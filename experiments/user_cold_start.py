"""Does meta-learning help cold-start users? Learners and every simple method on the same held-out users, K = 0..20.

    scripts/run.sh                                            # MovieLens-100K, four learners, all baselines
    scripts/run.sh experiments/user_cold_start.py --dataset=ml-1m
    scripts/run.sh experiments/user_cold_start.py --ratings=mine.csv --columns=user=uid,item=isbn,rating=stars

Result, RMSE with --seeds=3 --learners=ridge,attentive_ridge: attentive ridge is better than the best baseline, a
Gaussian process over items, at K = 5 and 10 on MovieLens-1M (0.9371 for 0.9445 and 0.9146 for 0.9217), goodbooks
(0.9088 for 0.9212, 0.8816 for 0.8931), MovieTweetings (1.5081 for 1.5236, 1.4907 for 1.5007) and, just, MovieLens-100K
(0.9721 for 0.9782, 0.9490 for 0.9544). The README has intervals.
"""

from experiments import measure
from experiments.main import protocol
from metarec_jax import benchmarks

main = measure.script("user_cold_start", __doc__, lambda options: benchmarks.user_cold_start(**protocol(options)))

if __name__ == "__main__":
    main()
