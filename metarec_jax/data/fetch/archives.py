"""Unpacking zip archives from untrusted sources."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from metarec_jax.data.table import DataError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive into `folder`.

    Raises:
      DataError: the archive is damaged, or a member is a symbolic link or would be written outside `folder`. All names
        are checked before anything is written; if the archive turns out to be damaged later, some files remain.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                if fault := _fault(member):
                    raise DataError(f"{archive.name}: member {member.orig_filename!r} {fault}; do not use it.")
            opened.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive.name}: a damaged archive ({error}); try again, or fetch it by hand.") from error


def _fault(member: zipfile.ZipInfo) -> str | None:
    # orig_filename: ZipInfo.filename has backslashes already replaced and is cut off at a NUL
    path = PurePosixPath(member.orig_filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in component for component in path.parts[:1]):
        return "would be written outside"
    return "is a symbolic link" if stat.S_ISLNK(member.external_attr >> 16) else None
