"""Reading a delimited text file of any length, a block of rows at a time."""

from collections.abc import Iterator
from pathlib import Path

from metarec_jax.data.io.delimited import Text, lines
from metarec_jax.data.io.file_table import Table
from metarec_jax.data.io.layout import Layout
from metarec_jax.data.io.opened import opened
from metarec_jax.data.table import DataError


def read_blocks(path: Path, layout: Layout, size: int = 2**25) -> Iterator[Table]:
    """Yield a UTF-8 file as one table a block, in memory that does not depend on its length.

    Args:
      path: the file.
      layout: of the file.
      size: bytes of a block, about; a row must not be longer.

    Raises:
      DataError: an error of `delimited.read_text`, or a row longer than a block.
    """
    names = layout.names
    empty = True
    for lines_above, block in _blocks(path, size):
        data = lines(block.removeprefix(b"\xef\xbb\xbf") if lines_above == 0 else block)
        if data:
            table = Text(path, layout.separator, layout.quotes, lines_above).table(data, names, lambda data=data: data)
            names, empty = table.frame.columns, False
            yield table
    if empty:
        raise DataError(f"{path}: the file is empty; fetch or write it again.")


def _blocks(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """(number of lines above it, block) for blocks of the file that end at the end of a row."""
    lines_above, buffer = 0, b""
    with opened(path) as file:
        while data := file.read(size):
            buffer += data
            end = buffer.rfind(b"\n")
            open_quote = buffer.count(b'"', 0, max(end, 0)) % 2
            while open_quote and end >= 0:  # this line ends within a quoted field
                previous_newline = buffer.rfind(b"\n", 0, end)
                open_quote = (open_quote + buffer.count(b'"', max(previous_newline, 0), end)) % 2
                end = previous_newline
            if end >= 0:
                yield lines_above, buffer[:end]
                lines_above += buffer.count(b"\n", 0, end) + 1
                buffer = buffer[end + 1 :]
            elif len(buffer) > size:
                raise DataError(
                    f"{path}: line {lines_above + 1}: more than {size} bytes; look for an open quote there."
                )
    yield lines_above, buffer
