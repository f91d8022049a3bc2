"""Delimited text and Parquet files as tables that know the line of the file that a row came from.

Polars reads the file; Python's csv module reads it again only where a message needs a line number. Blank lines, and
comments, which begin with #, are left out but counted: a comment is a line above the first record with another number
of fields, or one below it with one field.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from metarec_jax.data.io.file_table import Table
from metarec_jax.data.io.opened import opened
from metarec_jax.data.table import DataError
from metarec_jax.ops.untrusted import DamagedError, parquet_frame

_PREAMBLE = 100  # lines in which a file's comments end and its records begin
_UNIT = "\x1f"  # replaces separators of several characters, which polars does not support


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
      path: the file, compressed or not, see `opened`.
      separator: between fields; may be several characters where `quotes` is off.
      names: the columns of a file without a header line; None where the first line names them.
      encoding: "utf-8" (a byte order mark is skipped) or "latin-1".
      quotes: whether a field may stand in double quotes, as in CSV.

    Raises:
      DataError: the file is missing, empty, not in this encoding, has a line with too many or too few fields, or names
        a column twice.
    """
    text = Text(path, separator, quotes)

    def data() -> bytes:  # read again for an error message, so that a table need not keep its text
        return _normalised(path, encoding)

    return text.table(data(), names, data)


def read_parquet(path: Path) -> Table:
    """Read a Parquet file, whose rows count from 1. Raises DataError where it is missing or not Parquet."""
    try:
        frame = parquet_frame(path)
    except (OSError, DamagedError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}).") from error
    return Table(path, frame, lambda row: f"row {row + 1}")


def _normalised(path: Path, encoding: str) -> bytes:
    """The file as UTF-8 with newlines that polars recognises and none at the end."""
    with opened(path) as file:
        data = file.read()
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


def above_first(data: bytes, separator: bytes) -> tuple[int, int]:
    """The number of lines above a text's first record, which are blank or comments, and the bytes that they take.

    A line that begins with # is no comment if it has as many fields as the first one that does not.
    """
    lines, start = [], 0
    while start < len(data) and len(lines) < _PREAMBLE:
        end = data.find(b"\n", start) + 1 or len(data)
        lines.append((start, data[start:end]))
        start = end
    solid = [(number, start, line) for number, (start, line) in enumerate(lines) if line.strip()]
    plain = next((line.count(separator) for _, _, line in solid if not line.startswith(b"#")), None)
    records = ((number, start) for number, start, line in solid if plain in (None, line.count(separator)))
    return next(records, (0, 0))


def _is_record(fields: list[str]) -> bool:
    """Whether a line of at most the file's width is neither blank nor a comment."""
    return any(fields[1:]) or bool(fields and fields[0].strip() and not fields[0].startswith("#"))


class Text(NamedTuple):
    """How to read a text that has newlines that polars recognises."""

    path: Path  # for messages
    separator: str
    quotes: bool
    above: int = 0  # lines of the file above this text

    def table(self, data: bytes, names: Sequence[str] | None, again: Callable[[], bytes]) -> Table:
        """All records as a table.

        Args:
          data: the text.
          names: of the columns; None: the first record names them.
          again: returns the text once more, for error messages.
        """
        above, start = above_first(data, self.separator.encode())
        text = self._replace(separator=self.separator if len(self.separator) == 1 else _UNIT, above=self.above + above)

        def prepared(data: bytes) -> bytes:
            return data[start:].replace(self.separator.encode(), text.separator.encode())

        frame, rows = text.records_frame(prepared(data), names)

        def place(row: int) -> str:
            return f"line {next(itertools.islice(text.records(prepared(again())), rows[row], None))[0]}"

        return Table(self.path, frame, place, decimal_comma=self.separator != ",")

    def records_frame(self, data: bytes, names: Sequence[str] | None) -> tuple[pl.DataFrame, Sequence[int]]:
        """The frame of all records but a header, and their numbers among what `records` yields."""
        first = next(self.records(data))[1]
        width = len(first if names is None else names)
        frame = self.frame(data, width)
        rows = range(len(frame))
        # polars silently fills short lines with ""; if the last column has no "", there are none.
        if width > 1 and (frame[:, -1] == "").any():
            self.check_widths(data, width)
            rest_is_empty = frame.select(pl.all_horizontal(pl.nth(range(1, width)) == "")).to_series()
            no_record = rest_is_empty & frame[:, 0].str.contains(r"^(#|\s*$)")
            if no_record.any():
                frame, rows = frame.filter(~no_record), (~no_record).arg_true().to_list()
        if names is None:
            # Columns without a name, such as an index that pandas wrote, go by their number.
            names = [name.strip() or str(number) for number, name in enumerate(first, 1)]
            frame, rows = frame[1:], rows[1:]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{self.path}: two columns are called {twice[0]!r}; rename one of them.")
        frame.columns = list(names)
        return frame, rows

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
            if len(fields) > width or len(fields) < width and _is_record(fields):
                raise DataError(
                    f"{self.path}: line {line} has {len(fields)} fields where {width} are expected; "
                    "correct or delete the line."
                )
