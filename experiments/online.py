"""Online: does a model of a user get better while he rates, faster than the classics?

    scripts/run.sh experiments/online.py                                  # MovieLens-100K, positions 0 to 100
    scripts/run.sh experiments/online.py --dataset=ml-1m --positions=51

Each rating of a test user is predicted from those before it, in the order of time, and then revealed. A column "K = 10"
is the error on the ratings at positions from 10 to where the next column begins; "all" are all positions. A user
counts once in each, however many ratings he has there. Methods with an exact `update` take a rating in by it, and
forget what they knew by a factor that is chosen on the validation users (1 forgets nothing); the others adapt to all
that is known anew; MAML does the better of that and a step on the newest rating.

Result on MovieLens-100K with --seeds=3, over positions 0 to 100: bias 0.9861, ridge 0.9555, ALPaCA 0.9551, Gaussian
process 0.9533, the differences not significant; MAML 0.9932, prototypes 1.0311.
"""

from experiments import measure
from experiments.flags import BENCHMARK
from experiments.main import Options, protocol
from metarec_jax import benchmarks

FLAGS = [name for name in BENCHMARK if name != "order"]


def benchmark(options: Options) -> benchmarks.Benchmark:
    """Users followed as long as the flag says."""
    return benchmarks.online(options.positions, **protocol(options))


main = measure.script("online", __doc__, benchmark, flags=[*FLAGS, "positions"])

if __name__ == "__main__":
    main()
