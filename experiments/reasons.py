"""Why does a learner predict what it predicts, and is that true? Influences of a new user's ratings, put to the test.

    scripts/run.sh experiments/reasons.py
    scripts/run.sh experiments/reasons.py --learners=attentive_ridge --shots=5,20

For every test user, predicted item and known rating the influence by weight (`metarec_jax/serve/explain.py`) predicts
what leaving the rating out would do; then it is left out. The page shows what a person would be told: for the one of
the user's ten predicted items that is predicted highest, the ratings that speak for and against it.

Result on MovieLens-100K, 10,000 predictions at K = 10, correlation of the predicted and the actual effect: prototypes
0.959 [0.953, 0.965], MAML 0.999 [0.998, 0.999], ridge 0.986 [0.984, 0.988], the Gaussian process 0.993 [0.992, 0.994].
Leaving out the most influential rating moves the prediction in the predicted direction in 99.9% of the cases or more,
by 0.135, 0.143, 0.191 and 0.171 stars, and by 0.073 [0.065, 0.081], 0.087 [0.080, 0.094], 0.133 [0.123, 0.143] and
0.119 [0.110, 0.128] more than leaving out a random one. Of heads of closed form the first order predicts too little: a
rating's leverage is gone with it.
"""

from experiments import measure
from experiments.flags import BENCHMARK
from experiments.main import Options, protocol
from metarec_jax import benchmarks
from metarec_jax.benchmarks.reasons import ReasonsResult

FLAGS = [name for name in BENCHMARK if name != "tuned"]


def benchmark(options: Options) -> benchmarks.Benchmark:
    """As many examples as the flag says.

    Raises:
      ValueError: a K that is 0 or "all".
    """
    return benchmarks.reasons(examples=options.examples, **protocol(options))


main = measure.script(
    "reasons",
    __doc__,
    benchmark,
    flags=[*FLAGS, "examples"],
    shown=ReasonsResult,
)

if __name__ == "__main__":
    main()
