"""Delimited text and Parquet files as tables that know the line of the file that a row came from.

All values are read as text and converted to numbers afterwards, so that an error can quote a bad value with its line.
Polars reads the file; Python's csv module reads it again only where a message needs a line number.
"""

import csv
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from metarec_jax.data.table import DataError

_UNIT = "\x1f"  # replaces separators of several characters, which polars does not support


@dataclasses.dataclass(frozen=True)
class Table:
    """A file's columns, and the position of a row in the file for messages."""

    path: Path
    frame: pl.DataFrame  # of text files: strings only, "" for an empty field
    place: Callable[[int], str]  # row index -> "line 7"

    def column(self, name: str) -> pl.Series:
        """One column; text is stripped of surrounding blanks.

        Raises:
          DataError: the file has no such column; the message lists its columns.
        """
        if name not in self.frame.columns:
            raise DataError(
                f"{self.path}: no column {name!r}; it has {', '.join(map(repr, self.frame.columns))}; "
                "correct the header line."
            )
        series = self.frame[name]
        return series.str.strip_chars() if series.dtype == pl.String else series

    def ids(self, name: str) -> pl.Series:
        """A column of raw ids as text.

        Raises:
          DataError: an id is missing, or the column holds neither text nor whole numbers.
        """
        series = self.column(name)
        if not (series.dtype.is_integer() or series.dtype in (pl.String, pl.Categorical, pl.Enum)):
            raise DataError(f"{self.path}: column {name!r} holds {series.dtype}; ids must be text or whole numbers.")
        series = series.cast(pl.String)
        self._refuse(series.is_null() | (series == ""), name, "is empty; fill it in or delete the row")
        return series

    def numbers(self, name: str, *, gaps: bool = False) -> pl.Series:
        """A column as float32; with `gaps` an empty field is null, else an error.

        Raises:
          DataError: a value is not a finite number; the message names the first.
        """
        text = self._numeric(name)
        series = text.cast(pl.Float32, strict=False)
        bad = series.is_null() | ~series.is_finite()
        if gaps:
            bad &= text.is_not_null() & (text.cast(pl.String) != "")
        self._refuse(bad, name, "is not a number; correct it or delete the row")
        return series

    def seconds(self, name: str) -> pl.Series:
        """A column of times as int64 seconds since 1970; fractions are cut off.

        Raises:
          DataError: a value is not a time; the message names the first.
        """
        series = self.column(name)
        if series.dtype in (pl.Datetime, pl.Date):
            series = series.dt.epoch("s")
        else:
            text = self._numeric(name)
            series = text.cast(pl.Int64, strict=False)
            if series.has_nulls():
                series = series.fill_null(text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))
        remedy = "is not a time in seconds since 1970; correct it, or write 0 for an unknown time"
        self._refuse(series.is_null(), name, remedy)
        return series

    def _numeric(self, name: str) -> pl.Series:
        series = self.column(name)
        if not (series.dtype.is_numeric() or series.dtype == pl.String):
            raise DataError(f"{self.path}: column {name!r} holds {series.dtype}, not numbers; convert it.")
        return series

    def _refuse(self, bad: pl.Series, name: str, complaint: str) -> None:
        """Raise DataError at the first row where `bad` is true."""
        if not bad.any():
            return
        row = int(bad.to_numpy().argmax())
        value = self.frame[name][row]
        shown = "" if value in (None, "") else f" {str(value)[:60]!r}"
        raise DataError(f"{self.path}: {self.place(row)}: {name}{shown} {complaint}.")


def ratings_frame(table: Table, columns: dict[str, str]) -> pl.DataFrame:
    """The frame for `table.build`: columns user, item, rating and, where there are times, timestamp.

    Args:
      table: the file.
      columns: our column name -> the file's.

    Raises:
      DataError: a missing column, an empty id, a rating or a time that is not a number; the message names file and
        line.
    """
    series = {
        "user": table.ids(columns["user"]),
        "item": table.ids(columns["item"]),
        "rating": table.numbers(columns["rating"]),
    }
    if "timestamp" in columns:
        series["timestamp"] = table.seconds(columns["timestamp"])
    return pl.DataFrame(series)


def read_text(
    path: Path,
    separator: str,
    *,
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
    quotes: bool = False,
) -> Table:
    """Read a delimited text file.

    Args:
      path: the file.
      separator: between fields; may be several characters where `quotes` is off.
      names: the columns of a file without a header line; None where the first line names them.
      encoding: "utf-8" (a byte order mark is skipped) or "latin-1".
      quotes: whether a field may stand in double quotes, as in CSV.

    Raises:
      DataError: the file is missing, empty, not in this encoding, has a line with too many or too few fields, or names
        a column twice.
    """
    text = Text(path, separator if len(separator) == 1 else _UNIT, quotes)
    data = _normalised(path, encoding).replace(separator.encode(), text.separator.encode())

    def again() -> bytes:  # reads the file again, so that a table need not keep its text for an error message
        return _normalised(path, encoding).replace(separator.encode(), text.separator.encode())

    return text.table(data, names, again)


def read_parquet(path: Path) -> Table:
    """Read a Parquet file, whose rows count from 1. Raises DataError where it is missing or not Parquet."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}).") from error
    return Table(path, frame, lambda row: f"row {row + 1}")


def _normalised(path: Path, encoding: str) -> bytes:
    """The file as UTF-8 with newlines that polars recognises and none at the end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    if encoding == "utf-8":
        data = data.removeprefix(b"\xef\xbb\xbf")
    else:
        data = data.decode(encoding).encode()
    data = lines(data)
    if not data:
        raise DataError(f"{path}: the file is empty; fetch or write it again.")
    return data


def lines(data: bytes) -> bytes:
    """Text with newlines that polars recognises and none at the end."""
    data = data.rstrip(b"\r\n")
    return data if b"\n" in data else data.replace(b"\r", b"\n")  # in some files lines end with a carriage return only


class Text(NamedTuple):
    """How to read a text file that `_normalised` has prepared."""

    path: Path  # for messages
    separator: str  # one character
    quotes: bool
    above: int = 0  # lines of the file above this text

    def table(self, data: bytes, names: Sequence[str] | None, again: Callable[[], bytes]) -> Table:
        """All records as a table.

        Args:
          data: the text.
          names: of the columns; None: the first record names them.
          again: returns the text once more, for error messages.
        """
        first = next(self.records(data))[1]
        width = len(first if names is None else names)
        frame = self.frame(data, width)
        # polars silently fills short lines with ""; if the last column has no "", there are none.
        if width > 1 and (frame[:, -1] == "").any():
            self.check_widths(data, width)
        header = 0
        if names is None:
            names, frame, header = [name.strip() for name in first], frame[1:], 1
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{self.path}: two columns are called {twice[0]!r}; rename one of them.")
        frame.columns = list(names)

        def place(row: int) -> str:
            return f"line {next(itertools.islice(self.records(again()), row + header, None))[0]}"

        return Table(self.path, frame, place)

    def frame(self, data: bytes, width: int) -> pl.DataFrame:
        """All records as strings, in `width` columns."""
        try:
            return pl.read_csv(
                data,
                separator=self.separator,
                has_header=False,
                schema={str(column): pl.String for column in range(width)},
                quote_char='"' if self.quotes else None,
                empty_string_is_null=False,
            )
        except pl.exceptions.PolarsError as error:
            self.check_encoding(data)
            self.check_widths(data, width)
            raise DataError(
                f"{self.path}: unreadable ({str(error).splitlines()[0]}); fetch or write it again."
            ) from error

    def records(self, data: bytes) -> Iterator[tuple[int, list[str]]]:
        """(line number where the record starts, its fields), by Python's csv module."""
        lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="replace", newline="")
        quoting = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        reader = csv.reader(lines, delimiter=self.separator, quoting=quoting)
        line = self.above + 1
        try:
            for fields in reader:
                yield line, fields
                line = self.above + reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{self.path}: line {line}: {error}; look for an open quote there.") from error

    def check_encoding(self, data: bytes) -> None:
        """Raise DataError at the first line that is not UTF-8."""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            line = self.above + data.count(b"\n", 0, error.start) + 1
            raise DataError(f"{self.path}: line {line} is not UTF-8 text; save the file as UTF-8.") from error

    def check_widths(self, data: bytes, width: int) -> None:
        """Raise DataError at the first record that does not have `width` fields."""
        for line, fields in self.records(data):
            if len(fields) != width:
                raise DataError(
                    f"{self.path}: line {line} has {len(fields)} fields where {width} are expected; "
                    "correct or delete the line."
                )
