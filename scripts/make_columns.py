"""A ratings file as a folder of mapped columns, to train on more ratings than fit the memory (docs/scale.md).

    scripts/run.sh scripts/make_columns.py --ratings=ml-32m/ratings.csv --columns=user=userId,item=movieId \
        --movies=ml-32m/movies.csv --out=columns
    scripts/run.sh scripts/make_columns.py --check=columns

--check reads a folder and compares its checksums.
"""

import resource
import time
from pathlib import Path

from absl import app, flags

from experiments.common.command_line import one_line_errors, only_flags, parse
from metarec_jax.data.io.columns import Columns, open_columns
from metarec_jax.data.io.convert import write_columns
from metarec_jax.data.io.ratings_file import parse_columns
from metarec_jax.data.sets.movielens import film_features

RATINGS = flags.DEFINE_string("ratings", None, ".csv or .tsv file of ratings, in any order.")
COLUMNS = flags.DEFINE_string("columns", "", "Its names of our columns: user=uid,item=isbn,rating=stars,timestamp=ts.")
MOVIES = flags.DEFINE_string("movies", None, "movies.csv of MovieLens, for the genres and years of films.")
OUT = flags.DEFINE_string("out", None, "Folder to make.")
CHECK = flags.DEFINE_string("check", None, "Folder to check instead.")


def make() -> Columns:
    """Make the folder, or check one.

    Raises:
      ValueError: what to do is not said, or twice.
    """
    if CHECK.value and not (RATINGS.value or OUT.value or MOVIES.value):
        return open_columns(Path(CHECK.value), check=True)
    if CHECK.value or not (RATINGS.value and OUT.value):
        raise ValueError("give --ratings and --out, or --check alone.")
    features = film_features(Path(MOVIES.value)) if MOVIES.value else None
    write_columns(Path(RATINGS.value), Path(OUT.value), parse_columns(COLUMNS.value), features)
    return open_columns(Path(OUT.value))


def main(argv: list[str]) -> None:
    """Do it and say what is there."""
    begun = time.perf_counter()
    with one_line_errors():
        only_flags(argv)
        columns = make()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(columns.item)} ratings of {len(columns.user_ids)} users on {len(columns.item_ids)} items")
    print(f"{time.perf_counter() - begun:.0f} s, {peak:.2f} GB of memory at most; sha256 {columns.sha256[:16]}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
