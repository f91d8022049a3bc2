"""How a text file of ratings is laid out: what separates its fields, and whether its first line names them.

Separators are found in the first line alone. The one that goes with the extension is kept if it makes three fields or
more; else the one that makes the most is taken, so that a .csv may have semicolons.
"""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from metarec_jax.data.io.delimited import above_first
from metarec_jax.data.io.opened import COMPRESSED, opened, suffix_of
from metarec_jax.data.table import DataError

_USUAL = {
    **{".csv": ",", ".tsv": "\t", ".txt": "\t", ".dat": "::", ".data": "\t"},
    **{".inter": "\t", ".user": "\t", ".item": "\t"},  # of RecBole
}
_SEPARATORS = (",", "\t", ";", "|", "::")
_UNQUOTED = (".dat", ".data", ".inter", ".user", ".item")
_HEAD = 2**16  # bytes in which the first lines end
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")
TEXT_OR_PARQUET = f"use a {', '.join(_USUAL)} or .parquet file; text may be compressed as {', '.join(COMPRESSED)}"


class Layout(NamedTuple):
    """How to read a text file."""

    separator: str
    quotes: bool  # whether a field may stand in double quotes
    names: tuple[str, ...] | None  # of the columns of a file without a header line: their numbers, from 1
    usual: bool  # whether the separator goes with the extension


def is_text(path: Path) -> bool:
    """Whether the extension is one of text, compressed or not."""
    return suffix_of(path) in _USUAL


def layout(path: Path, wanted: Mapping[str, str] = MappingProxyType({})) -> Layout:
    """How a text file is laid out, found in its first lines.

    A first line with numbers in it is a header if it has one of the `wanted` names, and else the first row.

    Args:
      path: the file, compressed or not, with an extension for which `is_text` holds.
      wanted: our column name -> the name that a header should have; none: the first line is a header.

    Raises:
      DataError: it cannot be read, or the first line could be either.
    """
    suffix = suffix_of(path)
    with opened(path) as file:
        head = file.read(_HEAD).decode("utf-8-sig", errors="replace")
    head = head.replace("\r\n", "\n") if "\n" in head else head.replace("\r", "\n")
    separator = _separator(head, _USUAL[suffix])
    above, start = above_first(head.encode(), separator.encode())
    first = _fields(head.encode()[start:].decode(), separator)
    names = None
    if wanted and _looks_like_data(first, wanted):
        names = tuple(str(number + 1) for number in range(len(first)))
        fields = [field for field in first if field]
        if fields == [str(number) for number in range(len(fields))]:  # as pandas calls columns that have no names
            raise DataError(
                f"{path}: line {above + 1} ({', '.join(first)[:60]}) can be the names of columns or the first row; "
                "put names there, or a line of names above it."
            )
    return Layout(separator, suffix not in _UNQUOTED and len(separator) == 1, names, separator == _USUAL[suffix])


def _looks_like_data(first: list[str], wanted: Mapping[str, str]) -> bool:
    numbers = {field for field in first if _NUMBER.fullmatch(field)}
    named = {name for name in wanted.values() if not _NUMBER.fullmatch(name)} & {*first}
    values = {wanted.get("rating"), wanted.get("timestamp")} & numbers  # no name of a rating, but a rating
    return bool(numbers) and (not named or bool(values))


def _separator(head: str, usual: str) -> str:
    lines = [line for line in head.splitlines() if line.strip()]
    line = next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")
    widths = {separator: len(_fields(line, separator)) for separator in (usual, *_SEPARATORS)}
    return usual if widths[usual] >= 3 else max(widths, key=lambda separator: widths[separator])


def _fields(text: str, separator: str) -> list[str]:
    """The fields of the first record, stripped of blanks."""
    if len(separator) > 1:
        return [field.strip() for field in text.partition("\n")[0].split(separator)]
    try:
        return [field.strip() for field in next(csv.reader(text.splitlines(keepends=True), delimiter=separator), [])]
    except csv.Error:  # told with its line when the file is read
        return []
