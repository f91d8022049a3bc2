"""Every kind of file, damaged at random: it is read, or refused by one line that names it. Never a traceback."""

import dataclasses
import re

import numpy as np
import pytest
from sample_files import PARTS

from metarec_jax.data.fetch import download
from metarec_jax.ops.one_line import WHOLE, OneLineError

INPUTS = 500  # of each kind
# What a text may gain: separators, ends, numbers that are none, bytes that are no text, and what goes deep.
TOKENS = (
    *(
        b",",
        b'"',
        b"\n",
        b"\r",
        b"\t",
        b"::",
        b"|",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"\\",
        b"=",
        b"\x00",
        b"\xff",
        b"\xc3",
    ),
    *(
        b"null",
        b"true",
        b"-1",
        b"0",
        b"1e999",
        b"NaN",
        b"-Infinity",
        b"99999999999999999999",
        b"0.5",
        b'""',
        b"{}",
        b"[]",
    ),
    *(b"9" * 5000, b"x" * 5000, b"[" * 2000, b'{"a":' * 60, "\u2028".encode(), b"../", b"PK\x03\x04", b"PAR1"),
)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content after one to four random changes."""
    for _ in range(rng.integers(1, 5)):
        start, length = int(rng.integers(len(content) + 1)), int(rng.integers(1, 20))
        end = start + length
        change = rng.integers(8)
        if change == 0:  # cut off
            content = content[:start]
        elif change == 1:  # a hole
            content = content[:start] + content[end:]
        elif change == 2:  # twice
            content = content[:end] + content[start:]
        elif change == 3:  # zeros
            content = content[:start] + bytes(len(content[start:end])) + content[end:]
        elif change == 4:  # something else in its place
            content = content[:start] + TOKENS[rng.integers(len(TOKENS))] + content[end:]
        elif change == 5:  # something more
            content = content[:start] + TOKENS[rng.integers(len(TOKENS))] + content[start:]
        elif change == 6 and content:  # one bit
            place = min(start, len(content) - 1)
            content = content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]
        else:  # random bytes
            content = content[:start] + rng.bytes(length) + content[end:]
    return content


@pytest.fixture(autouse=True)
def no_official_counts(monkeypatch):
    for name, spec in download.SPECS.items():
        monkeypatch.setitem(download.SPECS, name, dataclasses.replace(spec, counts={}))


@pytest.mark.parametrize("part", PARTS)
def test_damaged_files_are_read_or_refused_by_one_line(part, tmp_path):
    faults, read = {}, {}
    for name, kind in PARTS[part]().items():
        folder, rng = tmp_path / name, np.random.default_rng(len(name))
        for file, content in kind.files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        kind.read(folder)
        read[name], files = 0, list(kind.files)
        for number in range(INPUTS):
            file = files[number % len(files)]
            (folder / file).write_bytes(damaged(kind.files[file], rng))
            try:
                kind.read(folder)
                read[name] += 1
            except OneLineError as error:
                text = str(error)
                if "\n" in text or len(text) > WHOLE + 100 or not re.search(f"{name}|{re.escape(file)}", text):
                    faults.setdefault((file, text[:300]), number)
            except BaseException as error:
                faults.setdefault((file, type(error).__name__, str(error)[:300]), number)
            (folder / file).write_bytes(kind.files[file])
    assert not faults, "\n".join(f"{what}: input {number}" for what, number in faults.items())
    assert all(count < INPUTS for count in read.values()), read  # the damage is felt
