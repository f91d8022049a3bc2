"""Unpacking zip archives from untrusted sources."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from metarec_jax.data.table import DataError
from metarec_jax.ops.untrusted import DamagedError, opened_zip


def unpack(archive: Path, folder: Path, most: int) -> None:
    """Unpack a zip archive into `folder`.

    Args:
      archive: its path.
      folder: where to.
      most: bytes that it may unpack to.

    Raises:
      DataError: the archive is damaged, encrypted or larger than that, or a member is a symbolic link or would be
        written outside `folder`. All names and sizes are checked before anything is written; if the archive turns out
        to be damaged later, some files remain.
    """
    try:
        with opened_zip(archive, most) as opened:
            for member in opened.infolist():
                if fault := _fault(member):
                    raise DataError(f"{archive.name}: member {member.orig_filename!r} {fault}; do not use it.")
            opened.extractall(folder)
    except DamagedError as error:
        raise DataError(f"{archive.name}: {error}; try again, or fetch it by hand.") from error


def _fault(member: zipfile.ZipInfo) -> str | None:
    # orig_filename: ZipInfo.filename has backslashes already replaced and is cut off at a NUL
    if not member.filename:
        return "has no name"
    path = PurePosixPath(member.orig_filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in component for component in path.parts[:1]):
        return "would be written outside"
    return "is a symbolic link" if stat.S_ISLNK(member.external_attr >> 16) else None
