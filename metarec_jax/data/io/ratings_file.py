"""Reading any ratings file: delimited text or Parquet, with the columns named by the caller."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import polars as pl
from absl import logging

from metarec_jax.data.io import blocks, delimited
from metarec_jax.data.io.column_names import COLUMNS, column_names
from metarec_jax.data.io.file_table import Table, ratings_frame
from metarec_jax.data.io.layout import TEXT_OR_PARQUET, is_text, layout
from metarec_jax.data.io.opened import suffix_of
from metarec_jax.data.table import DataError, Ratings, build

_EXAMPLE = "write for example user=uid,item=isbn,rating=stars,timestamp=ts"


def parse_columns(text: str) -> dict[str, str]:
    """Column names from a flag: "user=uid,rating=stars" -> {"user": "uid", "rating": "stars"}.

    Blanks around names are dropped. A column name of the file may contain "=" but no comma. "" renames nothing.

    Raises:
      DataError: an assignment without "=" or without a name on either side, an unknown or a repeated key, or one column
        of the file for two keys.
    """
    columns: dict[str, str] = {}
    for assignment in text.split(",") if text.strip() else ():
        key, equals, name = (piece.strip() for piece in assignment.partition("="))
        if not (key and equals and name):
            raise DataError(f"columns: {assignment!r} is not of the form key=column; {_EXAMPLE}.")
        if key in columns:
            raise DataError(f"columns: {key} is given twice, as {columns[key]!r} and {name!r}; keep one.")
        columns[key] = name
    _check(columns)
    return columns


def read_ratings(
    path: Path, columns: dict[str, str] | None = None, *, duplicates: str = "error", implicit: bool = False
) -> Ratings:
    """Ratings from delimited text or a Parquet file; see `layout` for what text may look like.

    Args:
      path: the file, by its extension .parquet or text, which may be compressed. Text must be UTF-8.
      columns: our column name (user, item, rating or timestamp) -> the file's, or its number from 1, where it differs.
        The timestamp column may be missing unless `columns` names it. Other columns are ignored.
      duplicates: what a user's ratings of one item become, one of `duplicates.RULES`.
      implicit: whether the rating column may be missing too; then everything is rated 1.

    Returns:
      Ratings without features, named after the file. Times that cannot be read are left out, and `untimed` says why.

    Raises:
      DataError: an unknown extension, a missing column, a missing id, a rating that is not a number, a line with too
        many or too few fields, a repeated (user, item) pair with `duplicates` "error", or an unreadable file. Messages
        name the line of a text file (the first is line 1), or the row of a Parquet file.
    """
    path, columns = Path(path), columns or {}
    _check(columns)
    table = read_table(path, _wanted(columns))
    names = column_names(table, columns, implicit=implicit)
    times, untimed = names.pop("timestamp", None), ""
    frame = ratings_frame(table, names)
    if times is not None:
        try:
            frame = frame.with_columns(timestamp=table.seconds(times))
        except DataError as error:
            untimed = str(error).removesuffix(".")
            logging.warning("times are left out: %s.", untimed)
        else:
            if unknown := (frame["timestamp"] == 0).sum():
                logging.warning("%s: %d of %d times are unknown; they count as 1970.", path, unknown, len(frame))
    return build(path.name, frame, source=str(path), duplicates=duplicates, place=table.place, untimed=untimed)


def read_blocks(path: Path, columns: dict[str, str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield the ratings of a text file in blocks of rows, as frames for `table.build`; see `read_ratings`.

    The unit of its times is found block by block.

    Raises:
      DataError: an error of `read_ratings`, or a time that cannot be read; repeated pairs are not checked.
    """
    for _, frame in _blocks(path, columns or {}):
        yield frame


def places(path: Path, columns: dict[str, str] | None, user: str, item: str) -> Iterator[str]:
    """Where the ratings of a pair are in the text file of `read_blocks`, for a message."""
    for table, frame in _blocks(path, columns or {}):
        for row in ((frame["user"] == user) & (frame["item"] == item)).arg_true():
            yield table.place(row)


def _blocks(path: Path, columns: dict[str, str]) -> Iterator[tuple[Table, pl.DataFrame]]:
    _check(columns)
    if not is_text(path):
        raise DataError(f"{path}: the extension {suffix_of(path)!r} cannot be read in blocks; use a .csv or .tsv file.")
    for table in blocks.read_blocks(path, layout(path, _wanted(columns))):
        yield table, ratings_frame(table, column_names(table, columns))


def read_table(path: Path, wanted: Mapping[str, str] = MappingProxyType({})) -> Table:
    """A text or Parquet file as a table that knows the lines of its rows.

    Args:
      path: the file.
      wanted: our column name -> the name that a header line should have; none: there is one. See `layout`.

    Raises:
      DataError: another extension, or an unreadable file.
    """
    if suffix_of(path) in (".parquet", ".pq"):
        return delimited.read_parquet(path)
    if not is_text(path):
        raise DataError(f"{path}: the extension {suffix_of(path)!r} is unknown; {TEXT_OR_PARQUET}.")
    how = layout(path, wanted)
    if not how.usual:
        logging.info("%s: fields are separated by %r.", path, how.separator)
    return delimited.read_text(path, how.separator, names=how.names, quotes=how.quotes)


def _wanted(columns: dict[str, str]) -> dict[str, str]:
    return {key: columns.get(key, key) for key in COLUMNS}


def _check(columns: dict[str, str]) -> None:
    names = list(columns.values())
    for key, name in columns.items():
        if key not in COLUMNS:
            raise DataError(f"columns: unknown key {key!r}; the keys are {', '.join(COLUMNS)}.")
        if names.count(name) > 1:
            raise DataError(f"columns: column {name!r} of the file is given to more than one key; keep one.")
