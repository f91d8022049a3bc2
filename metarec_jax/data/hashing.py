"""Hashes that are the same on every machine and in every process."""

import hashlib
from pathlib import Path

from metarec_jax.data.table import DataError


def seeded_hash(*values: object) -> int:
    """A 63-bit hash of the values' texts; the first value is usually a seed."""
    text = "\x1f".join(map(str, values))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def file_sha256(path: Path) -> str:
    """sha256 of a file.

    Raises:
      DataError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
