"""A ratings file as a folder of mapped columns, to train on more ratings than fit the memory (docs/scale.md).

    scripts/run.sh scripts/make_columns.py --ratings=ml-32m/ratings.csv --columns=user=userId,item=movieId \
        --movies=ml-32m/movies.csv --out=columns
    scripts/run.sh scripts/make_columns.py --check=columns

--check reads a folder and compares its checksums.
"""

import resource
import time
from pathlib import Path

from absl import flags

from experiments.flags import Flag
from experiments.main import Experiment, Options
from metarec_jax.data.io.columns import Columns, open_columns
from metarec_jax.data.io.convert import write_columns
from metarec_jax.data.io.ratings_file import parse_columns
from metarec_jax.data.sets.movielens import film_features

FLAGS = {
    "ratings": Flag(flags.DEFINE_string, None, "Text file of ratings as of the experiments, in any order."),
    "movies": Flag(flags.DEFINE_string, None, "movies.csv of MovieLens, for the genres and years of films."),
    "check": Flag(flags.DEFINE_string, None, "Folder to check instead."),
}


def make(options: Options) -> Columns:
    """Make the folder, or check one.

    Raises:
      ValueError: what to do is not said, or twice.
    """
    if options.check and not (options.ratings or options.out or options.movies):
        return open_columns(Path(options.check))
    if options.check or not (options.ratings and options.out):
        raise ValueError("give --ratings and --out, or --check alone.")
    features = film_features(Path(options.movies)) if options.movies else None
    write_columns(Path(options.ratings), Path(options.out), parse_columns(options.columns or ""), features)
    return open_columns(Path(options.out), check=False)  # the checksums have just been taken


def work(options: Options) -> None:
    """Do it and say what is there."""
    begun = time.perf_counter()
    columns = make(options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(columns.item)} ratings of {len(columns.user_ids)} users on {len(columns.item_ids)} items")
    print(f"{time.perf_counter() - begun:.0f} s, {peak:.2f} GB of memory at most; sha256 {columns.sha256[:16]}")


main = Experiment("make_columns", __doc__, ("columns", "out"), work, own=FLAGS)

if __name__ == "__main__":
    main()
