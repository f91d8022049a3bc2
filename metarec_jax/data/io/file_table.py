"""A file's columns, which know the line of the file that a row came from.

Values of text files stay text until they are asked for, so that an error can quote a bad value with its line.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from metarec_jax.data import values
from metarec_jax.data.table import DataError


@dataclasses.dataclass(frozen=True)
class Table:
    """A file's columns, and the position of a row in the file for messages."""

    path: Path
    frame: pl.DataFrame  # of text files: strings only, "" for an empty field
    place: Callable[[int], str]  # row index -> "line 7"
    decimal_comma: bool = False  # whether 3,5 is 3.5

    def column(self, name: str) -> pl.Series:
        """One column; text is stripped of surrounding blanks.

        Raises:
          DataError: the file has no such column; the message lists its columns.
        """
        if name not in self.frame.columns:
            raise DataError(f"{self.path}: no column {name!r}; it has {self.listed()}; correct the header line.")
        series = self.frame[name]
        return series.str.strip_chars() if series.dtype == pl.String else series

    def listed(self, most: int = 12) -> str:
        """The names of the columns, for a message; the first of many."""
        names = self.frame.columns
        more = f" and {len(names) - most} more" if len(names) > most else ""
        return ", ".join(repr(name[:60]) for name in names[:most]) + more

    def ids(self, name: str) -> pl.Series:
        """A column of raw ids as text, by the rule of `values.ids`.

        Raises:
          DataError: an id is missing, has lost digits, or the column holds neither text nor numbers.
        """
        return self._read(name, values.ids)

    def ratings(self, name: str) -> pl.Series:
        """A column as float32, see `values.ratings`.

        Raises:
          DataError: a value is not a number, or float32 does not hold them.
        """
        return self._read(name, partial(values.ratings, decimal_comma=self.decimal_comma))

    def numbers(self, name: str, *, gaps: bool = False) -> pl.Series:
        """A column as float64, see `values.numbers`; with `gaps` a missing value is null, else an error.

        Raises:
          DataError: a value is not a finite number; the message names the first.
        """
        return self._read(name, partial(values.numbers, gaps=gaps, decimal_comma=self.decimal_comma))

    def seconds(self, name: str) -> pl.Series:
        """A column of times as int64 seconds since 1970, 0 where there is none, see `values.seconds`.

        Raises:
          DataError: a value is not a time; the message names the first.
        """
        return self._read(name, values.seconds)

    def _read(self, name: str, reader: Callable[[pl.Series], pl.Series]) -> pl.Series:
        try:
            return reader(self.column(name))
        except values.BadCell as bad:
            if bad.row is None:
                raise DataError(f"{self.path}: column {name!r} {bad.complaint}.") from None
            value = self.frame[name][bad.row]
            shown = "" if value in (None, "") else f" {str(value)[:60]!r}"
            raise DataError(f"{self.path}: {self.place(bad.row)}: {name}{shown} {bad.complaint}.") from None


def ratings_frame(table: Table, columns: dict[str, str]) -> pl.DataFrame:
    """The frame for `table.build`: columns user, item, rating and, where there are times, timestamp.

    Args:
      table: the file.
      columns: our column name -> the file's. Without a rating everything is rated 1.

    Raises:
      DataError: a missing column, a missing id, a rating or a time that is none; the message names file and line.
    """
    series = {"user": table.ids(columns["user"]), "item": table.ids(columns["item"])}
    if "rating" in columns:
        series["rating"] = table.ratings(columns["rating"])
    else:
        series["rating"] = pl.repeat(1.0, len(table.frame), dtype=pl.Float32, eager=True)
    if "timestamp" in columns:
        series["timestamp"] = table.seconds(columns["timestamp"])
    return pl.DataFrame(series)
