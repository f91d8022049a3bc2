"""Ratings as many as wanted, in the files of MovieLens-32M: ratings.csv and movies.csv.

scripts/run.sh scripts/make_ratings.py --ratings=25000000 --out=ratings25m
scripts/run.sh scripts/make_ratings.py --ratings=100000000 --out=ratings100m
"""

from pathlib import Path

from absl import flags
from tqdm import tqdm

from experiments.flags import Flag
from experiments.main import Experiment, Options
from metarec_jax.data.io.folders import new_folder
from metarec_jax.data.synthetic.movielens_like import make_films, make_ratings

FLAGS = {
    "ratings": Flag(flags.DEFINE_integer, 25_000_000, "Ratings.", {"lower_bound": 1}),
    "users": Flag(flags.DEFINE_integer, None, "Users; default one for 160 ratings.", {"lower_bound": 1}),
    "items": Flag(flags.DEFINE_integer, 85_000, "Films.", {"lower_bound": 1}),
}


def write(folder: Path, seed: int, users: int, items: int, ratings: int) -> None:
    """Write both files."""
    films = make_films(seed, items)
    films.frame().write_csv(folder / "movies.csv")
    blocks = make_ratings(seed, films, users=users, ratings=ratings)
    bar = tqdm(total=ratings, unit="rating", unit_scale=True, disable=None)
    with open(folder / "ratings.csv", "wb") as file, bar:
        for frame in blocks:
            frame.write_csv(file, include_header=file.tell() == 0)
            bar.update(len(frame))


def work(options: Options) -> None:
    """Make the folder.

    Raises:
      ValueError: it is not said.
    """
    if options.out is None:
        raise ValueError("give --out, the folder to make.")
    ratings, items, users = options.ratings, options.items, options.users or max(1, options.ratings // 160)
    with new_folder(Path(options.out)) as folder:
        write(folder, options.seed, users, items, ratings)
    print(f"{ratings} ratings of {users} users on {items} films: {options.out}")


main = Experiment("make_ratings", __doc__, ("seed", "out"), work, own=FLAGS)

if __name__ == "__main__":
    main()
