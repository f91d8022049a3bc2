"""A new item warms up: cold, then after one, two, three batches of feedback, in the order of time.

    scripts/run.sh experiments/item_warm_up.py --seeds=3
    scripts/run.sh experiments/item_warm_up.py --dataset=goodbooks-10k --order=random --feedback=5

Item cold start (`item_cold_start.py`) with K = 0, B, 2B and 3B raters, the first to come: what an item's page shows
on its first day, and how soon it gets better. The last ten ratings of an item are predicted at every stage.

Result, RMSE on MovieLens-100K with --seeds=3: MWUF goes from 1.0384 to 0.9389, 0.9293 and 0.9322, the best baseline, a
Gaussian process, from 1.0386 to 0.9424, 0.9357 and 0.9442; the last two differences are significant.
"""

from experiments import measure
from experiments.flags import BENCHMARK
from experiments.main import Options, protocol
from metarec_jax import benchmarks

FLAGS = [name for name in BENCHMARK if name != "shots"]


def benchmark(options: Options) -> benchmarks.Benchmark:
    """Item cold start at the asked size of a batch of feedback."""
    return benchmarks.item_warm_up(options.feedback, **protocol(options))


main = measure.script("item_warm_up", __doc__, benchmark, flags=[*FLAGS, "feedback"])

if __name__ == "__main__":
    main()
