"""The files that a run reads: their content is part of what the run is, as its flags are."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from metarec_jax.data.fetch import download
from metarec_jax.data.hashing import file_sha256

FILES = ("ratings", "split", "tuned", "partition")  # flags that name a file to be read
COLUMNS = ("columns_dir",)  # and a folder of columns, whose columns.json has the checksums of the rest
SETS = ("dataset", "train_on")  # and a data set
OMNIGLOT = "omniglot"  # whose test characters every --train_on asks about


def input_files(options: Any, idle: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """(flag, file) for everything that a run reads.

    Args:
      options: `main.Options`.
      idle: flags that do nothing beside the others.

    Raises:
      DataError: a data set is not there and cannot be fetched.
    """
    for flag in (*FILES, *COLUMNS, *SETS):
        if not options.has(flag) or flag in idle or (value := getattr(options, flag)) is None:
            continue
        if flag in SETS:
            name, place = (value if flag == "dataset" else OMNIGLOT), options.data_dir
            yield from ((flag, path) for path in download.files_of(name, Path(place) if place else None))
        else:
            yield flag, Path(value) / "columns.json" if flag in COLUMNS else Path(value)


def input_sums(options: Any, idle: Collection[str] = ()) -> dict[str, str]:
    """ "--flag: name of a file" -> its sha256; where it lies is no matter.

    Raises:
      DataError: one is not there, or cannot be read.
    """
    return {f"--{flag}: {path.name}": file_sha256(path) for flag, path in input_files(options, idle)}
