"""Ratings as many as wanted, in the files of MovieLens-32M: ratings.csv and movies.csv.

scripts/run.sh scripts/make_ratings.py --ratings=25000000 --out=ratings25m
scripts/run.sh scripts/make_ratings.py --ratings=100000000 --out=ratings100m
"""

from pathlib import Path

from absl import app, flags
from tqdm import tqdm

from experiments.common.command_line import one_line_errors, only_flags, parse
from metarec_jax.data.io.folders import new_folder
from metarec_jax.data.synthetic.movielens_like import make_films, make_ratings

RATINGS = flags.DEFINE_integer("ratings", 25_000_000, "Ratings.", lower_bound=1)
USERS = flags.DEFINE_integer("users", None, "Users; default one for 160 ratings.", lower_bound=1)
ITEMS = flags.DEFINE_integer("items", 85_000, "Films.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0)
OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)


def write(folder: Path, users: int) -> None:
    """Write both files."""
    films = make_films(SEED.value, ITEMS.value)
    films.frame().write_csv(folder / "movies.csv")
    blocks = make_ratings(SEED.value, films, users=users, ratings=RATINGS.value)
    with open(folder / "ratings.csv", "wb") as file, tqdm(total=RATINGS.value, unit="rating", unit_scale=True) as bar:
        for frame in blocks:
            frame.write_csv(file, include_header=bar.n == 0)
            bar.update(len(frame))


def main(argv: list[str]) -> None:
    """Make the folder."""
    with one_line_errors():
        only_flags(argv)
        users = USERS.value or max(1, RATINGS.value // 160)
        with new_folder(Path(OUT.value)) as folder:
            write(folder, users)
    print(f"{RATINGS.value} ratings of {users} users on {ITEMS.value} films: {OUT.value}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
