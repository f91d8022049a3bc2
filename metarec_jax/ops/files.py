"""Writing a file completely or not at all, and the same bytes for the same content."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


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
