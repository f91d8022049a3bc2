"""Reading any ratings file: CSV, TSV or Parquet, with the columns named by the caller."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from metarec_jax.data.io import blocks, delimited
from metarec_jax.data.table import DataError, Ratings, build

COLUMNS = ("user", "item", "rating", "timestamp")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
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


def read_ratings(path: Path, columns: dict[str, str] | None = None) -> Ratings:
    """Ratings from a .csv, .tsv or .parquet file.

    Args:
      path: the file. Text must be UTF-8 with a header line; CSV fields may be quoted.
      columns: our column name (user, item, rating or timestamp) -> the file's, where it differs. The timestamp column
        may be missing unless `columns` names it. Other columns are ignored.

    Returns:
      Ratings without features, named after the file.

    Raises:
      DataError: a wrong extension, a missing column, an empty id, a rating or time that is not a number, a line with
        too many or too few fields, a repeated (user, item) pair, or an unreadable file. Messages name the line of a
        text file (the header is line 1), or the row of a Parquet file.
    """
    _check(columns or {})
    table = read_table(Path(path))
    return build(path.name, delimited.ratings_frame(table, column_names(table, columns)), source=str(path))


def read_blocks(path: Path, columns: dict[str, str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield the ratings of a .csv or .tsv file in blocks of rows, as frames for `table.build`; see `read_ratings`.

    Raises:
      DataError: an error of `read_ratings`; repeated pairs are not checked.
    """
    _check(columns or {})
    separator = _SEPARATORS.get(path.suffix.lower())
    if separator is None:
        raise DataError(f"{path}: the extension {path.suffix!r} cannot be read in blocks; use a .csv or .tsv file.")
    for table in blocks.read_blocks(path, separator):
        yield delimited.ratings_frame(table, column_names(table, columns))


def column_names(table: delimited.Table, columns: dict[str, str] | None) -> dict[str, str]:
    """Our column name -> the table's, for every column that is read; see `read_ratings`.

    Raises:
      DataError: the table lacks a column.
    """
    columns = columns or {}
    names = {key: columns.get(key, key) for key in COLUMNS}
    if "timestamp" not in columns and "timestamp" not in table.frame.columns:
        del names["timestamp"]
    for key, name in names.items():
        if name not in table.frame.columns:
            existing = ", ".join(map(repr, table.frame.columns))
            raise DataError(
                f"{table.path}: no column {name!r} for the {key}; it has {existing}; choose with --columns={key}=NAME."
            )
    return names


def read_table(path: Path) -> delimited.Table:
    """A .csv, .tsv or .parquet file as a table that knows the lines of its rows.

    Raises:
      DataError: another extension, or an unreadable file.
    """
    suffix = path.suffix.lower()
    if suffix in _SEPARATORS:
        return delimited.read_text(path, _SEPARATORS[suffix], quotes=True)
    if suffix == ".parquet":
        return delimited.read_parquet(path)
    raise DataError(f"{path}: the extension {suffix!r} is unknown; use a .csv, .tsv or .parquet file.")


def _check(columns: dict[str, str]) -> None:
    names = list(columns.values())
    for key, name in columns.items():
        if key not in COLUMNS:
            raise DataError(f"columns: unknown key {key!r}; the keys are {', '.join(COLUMNS)}.")
        if names.count(name) > 1:
            raise DataError(f"columns: column {name!r} of the file is given to more than one key; keep one.")
