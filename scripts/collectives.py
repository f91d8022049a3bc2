"""What one step of a compiled program sends between devices, read from the program itself."""

import re
from typing import NamedTuple

BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4}
BYTES |= {"s64": 8, "u64": 8, "f64": 8}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
OPERATION = re.compile(rf"= (\(?[^=]*?)\s({'|'.join(KINDS)})(?:-start)?\(")
COMMENT = re.compile(r"/\*.*?\*/")  # of long tuples' places
ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


class Sent(NamedTuple):
    """One operation between devices."""

    kind: str
    payload: int  # bytes of its result

    def by_each(self, devices: int) -> float:
        """Bytes that a device sends, by the ring algorithms (Patarasuk and Yuan 2009, doi:10.1016/j.jpdc.2008.09.002):
        for a sum twice (n - 1) / n of the result, for a gathering once."""
        if self.kind == "collective-permute":
            return float(self.payload)
        if self.kind == "reduce-scatter":
            return float(self.payload * (devices - 1))
        return (2 if self.kind == "all-reduce" else 1) * self.payload * (devices - 1) / devices


def operations(program: str) -> list[Sent]:
    """All operations between devices in the text of a compiled program; those of a loop's body once."""
    return [Sent(kind, _size(shape)) for shape, kind in OPERATION.findall(COMMENT.sub("", program))]


def _size(shape: str) -> int:
    total = 0
    for dtype, dims in ARRAY.findall(shape):
        number = 1
        for dim in filter(None, dims.split(",")):
            number *= int(dim)
        total += number * BYTES[dtype]
    return total
