"""Files that may be compressed: .gz and .bz2, and .zip archives of one file."""

import bz2
import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from metarec_jax.data.table import DataError

_OPENERS: dict[str, Callable] = {".gz": gzip.open, ".bz2": bz2.open}
COMPRESSED = (*_OPENERS, ".zip")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file, to be read as what it is when unpacked; errors while it is read are told as well.

    Raises:
      DataError: it is missing, damaged or encrypted, or an archive of no file or several.
    """
    suffix = path.suffix.lower()
    with _one_line_errors(path):
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive)) as file:
                yield file
        else:
            with _OPENERS.get(suffix, open)(path, "rb") as file:
                yield file


def suffix_of(path: Path) -> str:
    """The extension of a file when unpacked, in small letters: .csv of ratings.csv.gz.

    Raises:
      DataError: as of `opened`, for an archive.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with _one_line_errors(path), zipfile.ZipFile(path) as archive:
            return Path(_member(path, archive).filename).suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _OPENERS else suffix


@contextlib.contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); fetch or write it again.") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile's for a password, and for a packing that it lacks
        raise DataError(f"{path}: cannot be unpacked ({error}); unpack it yourself.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        names = ", ".join(each.filename for each in members[:5]) or "none"
        raise DataError(f"{path}: holds {len(members)} files ({names}); unpack it and name the file of ratings.")
    return members[0]
