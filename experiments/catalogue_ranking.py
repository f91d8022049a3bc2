"""Does meta-learning help to rank the whole catalogue for cold users, from K items that they liked?

    scripts/run.sh experiments/catalogue_ranking.py                             # MovieLens-100K, all methods
    scripts/run.sh experiments/catalogue_ranking.py --dataset=ml-1m
    scripts/run.sh experiments/catalogue_ranking.py --liked=any                 # whatever was rated counts
    scripts/run.sh experiments/catalogue_ranking.py --rank=users                # new items: all users, by who likes it

Result, nDCG@10 at K = 3, 5, 10, three seeds: on MovieLens-1M the neighbour encoder has 0.484, 0.514, 0.577, the best
classic 0.460, 0.480, 0.538; on MovieLens-100K 0.461, 0.492, 0.561 for 0.438, 0.474, 0.540; on goodbooks 0.436, 0.486,
0.549 for 0.418, 0.466, 0.533: better at each. At K = 1, and on MovieTweetings, it cannot be told from the best classic.
Commands are in docs/cold_starts.md.
"""

from experiments import measure
from experiments.flags import BENCHMARK, SPLIT
from experiments.main import Options, whole_numbers
from metarec_jax import benchmarks

FLAGS = [name for name in BENCHMARK if name not in (*SPLIT, "query", "order", "content", "tuned")]


def benchmark(options: Options) -> benchmarks.Benchmark:
    """What is liked and ranked as the flags say.

    Raises:
      ValueError: a flag is wrong.
    """
    own = {} if options.shots is None else {"shots": whole_numbers("shots", options.shots)}
    users = options.rank == "users"
    return benchmarks.catalogue_ranking(liked=threshold(options.liked), least=options.least, rank_users=users, **own)


def threshold(text: str | None) -> float | None:
    """The rating from which an item is liked; None: the benchmark's own.

    Raises:
      ValueError: --liked is neither a number nor "any".
    """
    if text is None:
        return None
    try:
        return float("-inf") if text == "any" else float(text)
    except ValueError:
        raise ValueError(f"--liked={text!r} is neither a number nor 'any'.") from None


main = measure.script("catalogue_ranking", __doc__, benchmark, flags=[*FLAGS, "liked", "rank", "least"])

if __name__ == "__main__":
    main()
