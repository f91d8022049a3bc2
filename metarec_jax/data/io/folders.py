"""Writing a folder of files completely or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from metarec_jax.data.table import DataError


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to write files in, which is renamed to `path` at the end of the `with` block.

    An error in the block, or an interrupt, leaves nothing behind. A kill leaves a hidden folder beside `path`, but
    `path` itself is never incomplete.

    Raises:
      DataError: `path` exists already.
      OSError: the folder cannot be made or written.
    """
    if path.exists():
        raise DataError(f"{path} is there already; delete it or choose another folder.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # beside it: a rename, not a copy
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path_written in [*temporary.iterdir(), temporary]:
            _to_disk(path_written)  # the content reaches the disk before the name does
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already when the rename happened
    _to_disk(path.parent)  # the rename itself


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
