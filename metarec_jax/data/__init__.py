"""Data sets as tables: each file turns one official layout, or anybody's file, into the one table type of its kind,
`Ratings` or `classes.Classes`."""

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
    """The data set called `name`, fetched into the data directory if it is missing there.

    Args:
      name: a key of `DATASETS`.
      data_dir: the data directory; None means METAREC_DATA_DIR, else the user's cache folder.
      content: groups of item features, for example ("genre", "year", "title"); None means what the set has by default.

    Raises:
      DataError: an unknown name, a group that the set has not, or whatever the loader finds wrong.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; choose one of {', '.join(DATASETS)}.")
    return DATASETS[name](data_dir, content)
