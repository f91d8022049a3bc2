"""Data sets as tables.

Ratings become a `table.Ratings`, labelled images and texts a `classes.Classes`. `sets/` has one file a data set, `io/`
reads anybody's files, `fetch/` downloads, `features/` turns side information into columns, and `synthetic/` generates.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from metarec_jax.data.classes import Classes
from metarec_jax.data.sets import banking77, clinc150, glyphs, goodbooks, huffpost, movielens, movietweetings, omniglot
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.data.texts import Texts

DATASETS: dict[str, Callable[[Path | None, Sequence[str] | None], Ratings]] = {
    "ml-100k": movielens.load_100k,
    "ml-1m": movielens.load_1m,
    "ml-latest-small": movielens.load_latest_small,
    "ml-25m": movielens.load_25m,
    "ml-32m": movielens.load_32m,
    "movietweetings-100k": movietweetings.load_100k,
    "goodbooks-10k": goodbooks.load,
}
CLASS_SETS: dict[str, Callable[[Path | None], Classes]] = {"omniglot": omniglot.load, "glyphs": glyphs.load}
TEXT_SETS: dict[str, Callable[[Path | None], Texts]] = {
    "clinc150": clinc150.load,
    "banking77": banking77.load,
    "huffpost": huffpost.load,
}


def load(name: str, data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """The ratings data set called `name`, fetched into the data directory if it is missing there.

    Args:
      name: a key of `DATASETS`.
      data_dir: the data directory; None means METAREC_DATA_DIR, else the user's cache folder.
      content: groups of item features, for example ("genre", "year", "title"); None means the set's default groups.

    Raises:
      DataError: an unknown name, a group that the set does not have, or an error of the loader.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; choose one of {', '.join(DATASETS)}.")
    return DATASETS[name](data_dir, content)
