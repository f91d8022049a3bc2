"""Writing a file completely or not at all, the same bytes for the same content, and having a folder for oneself."""

import fcntl
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

TORN = ".*.tmp"  # what a kill may leave of a write


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: at every moment `path` holds the old content or the new.

    The folder is made if it is missing. No two processes may write the same path at once.

    Raises:
      OSError: the folder cannot be made or written; the old file is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # the same folder: a rename, not a copy
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the bytes reach the disk before the name does
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file it is about
        raise
    finally:
        temporary.unlink(missing_ok=True)  # gone already when the rename happened
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)


def lock(path: str | os.PathLike[str]) -> IO[bytes] | None:
    """The lock of a file, which is made where it is missing; None where it is another's.

    It is free again when what is returned is closed, or when the process ends, in whatever way. On a file system that
    has no locks, as some of networks, everybody gets it.

    Raises:
      OSError: the file cannot be made.
    """
    file = open(path, "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        pass  # no locks here
    return file


def zip_content(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The bytes of a zip archive, which do not depend on the day or the machine."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            about = zipfile.ZipInfo(name)  # of 1980
            about.compress_type, about.create_system, about.external_attr = compression, 3, 0o600 << 16
            archive.writestr(about, content)
    return file.getvalue()


def npz_content(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file, as `zip_content`."""
    members = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
        members[f"{name}.npy"] = file.getvalue()
    return zip_content(members)
