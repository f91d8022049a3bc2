"""A folder of files that is there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from metarec_jax.data.table import DataError


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write files in, which becomes `path` at the end of the block.

    An error in the block, or an interrupt, leaves nothing behind; a kill leaves a hidden folder beside `path`, which
    itself is never half written.

    Raises:
      DataError: there is something at `path`.
      OSError: the folder cannot be made or written.
    """
    if path.exists():
        raise DataError(f"{path} is there already; delete it or choose another folder.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # beside it: a rename, not a copy
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for part in [*temporary.iterdir(), temporary]:
            _to_disk(part)  # the bytes, before the name
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
