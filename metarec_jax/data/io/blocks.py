"""A delimited text file of any length, a block of rows at a time."""

from collections.abc import Iterator
from pathlib import Path

from metarec_jax.data.io.delimited import Table, Text, lines
from metarec_jax.data.table import DataError


def read_blocks(path: Path, separator: str, size: int = 2**25) -> Iterator[Table]:
    """A UTF-8 file with a header line, a table at a time: memory does not depend on its length.

    Args:
      path: the file.
      separator: one character between fields, which may stand in double quotes.
      size: bytes of a block, about; no row is longer.

    Raises:
      DataError: as `read_text` does, or a row longer than a block.
    """
    names = None
    for above, block in _blocks(path, size):
        data = lines(block.removeprefix(b"\xef\xbb\xbf") if above == 0 else block)
        if data:
            table = Text(path, separator, True, above).table(data, names, lambda data=data: data)
            names = table.frame.columns
            yield table
    if names is None:
        raise DataError(f"{path}: the file is empty; fetch or write it again.")


def _blocks(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """The file in pieces that end where a row does, and the number of lines above each."""
    above, rest = 0, b""
    try:
        with open(path, "rb") as file:
            while read := file.read(size):
                rest += read
                end = rest.rfind(b"\n")
                odd = rest.count(b'"', 0, max(end, 0)) % 2
                while odd and end >= 0:  # this line ends within a quoted field
                    before = rest.rfind(b"\n", 0, end)
                    odd = (odd + rest.count(b'"', max(before, 0), end)) % 2
                    end = before
                if end >= 0:
                    yield above, rest[:end]
                    above += rest.count(b"\n", 0, end) + 1
                    rest = rest[end + 1 :]
                elif len(rest) > size:
                    raise DataError(f"{path}: line {above + 1}: more than {size} bytes; look for an open quote there.")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    yield above, rest
