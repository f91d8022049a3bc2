"""Banking77: questions of bank customers, 77 intents of one domain, 75 to 227 questions each.

Casanueva et al. 2020, "Efficient Intent Detection with Dual Sentence Encoders", arXiv:2003.04807. The classes are all
similar. They are split 40 / 12 / 25 by a hash of their names, because no split is published.
"""

from pathlib import Path

from metarec_jax.data.classes import hashed_parts
from metarec_jax.data.fetch import download
from metarec_jax.data.io.ratings_file import read_table
from metarec_jax.data.table import DataError
from metarec_jax.data.texts import Texts, build
from metarec_jax.ops.untrusted import json_value

CLASSES = {"train": 40, "valid": 12, "test": 25}


def load(data_dir: Path | None = None) -> Texts:
    """The questions of the official train and test files together.

    Args:
      data_dir: see `download.data_root`.

    Raises:
      DataError: the set is not there and cannot be fetched, or is not the official one.
    """
    folder = download.locate("banking77", data_dir)
    try:
        names = json_value((folder / "categories.json").read_bytes())
        parts = hashed_parts(names, CLASSES)
    except ValueError as error:
        raise DataError(f"{folder}: not the official files ({error!r}); delete it to fetch them again.") from error
    labelled = [pair for half in ("train", "test") for pair in _questions(folder / f"{half}.csv")]
    return build("banking77", labelled, names, parts, folder)


def _questions(path: Path) -> list[tuple[str, str]]:
    """(text, intent) of one file, blanks around them stripped."""
    table = read_table(path)
    return list(zip(table.column("text"), table.column("category"), strict=True))
