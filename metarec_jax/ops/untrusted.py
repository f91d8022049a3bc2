"""Reading content that may be damaged, or not be what its name says: whatever is wrong is a `DamagedError`.

The readers of Python and numpy raise nearly anything on damaged bytes, and believe sizes that a file merely states.
"""

import contextlib
import errno
import io
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from metarec_jax.ops.one_line import OneLineError

DEEPEST = 50  # lists and objects of a JSON value within each other
LARGEST = 2**31  # bytes that the arrays of a file may have
_ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, NotImplementedError, ValueError
)  # fmt: skip


class DamagedError(OneLineError):
    """What is wrong with a content; who reads it knows its name and the remedy."""


def json_value(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
      DamagedError: it is not JSON, or nested deeper than `DEEPEST`.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"not JSON: {error}") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for part in level for inner in _parts(part)]
        if not level:
            return value
    raise DamagedError(f"not JSON of ours: nested deeper than {DEEPEST}")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def npz_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; nothing is unpickled.

    Raises:
      DamagedError: it is not such a file, or damaged, or its arrays are larger than `LARGEST`.
      OSError: it cannot be opened.
    """
    with opened_zip(path, LARGEST) as archive:
        return {name.removesuffix(".npy"): _array(name, archive.read(name)) for name in archive.namelist()}


def _array(name: str, content: bytes) -> np.ndarray:
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # the header is a Python literal: parsing it can raise anything
        raise DamagedError(f"{name}: {error}") from error


def parquet_frame(source: str | os.PathLike[str] | bytes) -> pl.DataFrame:
    """The frame of a Parquet file, or of its content.

    Raises:
      DamagedError: it is not Parquet, or damaged.
      OSError: it cannot be opened.
    """
    try:
        return pl.read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # polars panics where it trusts a size
        raise DamagedError(f"not a whole Parquet file: {error}") from error


@contextlib.contextmanager
def opened_zip(path: str | os.PathLike[str], most: int) -> Iterator[zipfile.ZipFile]:
    """A zip archive, open for reading.

    Args:
      path: of the file.
      most: bytes that all members may have together; `ZipFile` reads no more than a member says it has.

    Raises:
      DamagedError: it is not an archive, damaged, encrypted or larger; in the `with` block too.
      OSError: it cannot be opened; or the block's own.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            for member in opened.infolist():
                if member.flag_bits & 1:
                    raise DamagedError(f"member {member.filename!r} is encrypted")
            if (size := sum(member.file_size for member in opened.infolist())) > most:
                raise DamagedError(f"it would unpack to {size:,} bytes, which is more than {most:,}")
            yield opened
    except OneLineError:
        raise
    except (*_ZIP_FAULTS, OSError) as error:
        # A place before the beginning is EINVAL, bz2 has no number; with all others it is the system that complains.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise DamagedError(f"a damaged archive: {error}") from error
