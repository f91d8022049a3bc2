"""What each kind of content is worth for an item with few raters or none: all kinds, each alone, all but one, none.

    scripts/run.sh experiments/content_ablation.py --content=genre+year,title,poster --seeds=5
    scripts/run.sh experiments/content_ablation.py --dataset=ml-1m --content=genre+year,title,director+actor+rated

Everything is multimodal ridge on item cold start (`item_cold_start.py`); "all_content", which sees all that --content
names, is what the others are compared with, so that a positive difference is what the kinds that they lack are worth.
"""

from experiments import measure
from experiments.flags import BENCHMARK
from experiments.main import Options, modalities, protocol
from metarec_jax import benchmarks

FLAGS = [name for name in BENCHMARK if name != "tuned"]


def benchmark(options: Options) -> benchmarks.Benchmark:
    """Of the kinds of content that the flag names.

    Raises:
      ValueError: fewer than two.
    """
    return benchmarks.content_ablation(modalities(options), **protocol(options))


main = measure.script("content_ablation", __doc__, benchmark, flags=FLAGS)

if __name__ == "__main__":
    main()
