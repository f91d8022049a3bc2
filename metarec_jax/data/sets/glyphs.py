"""Drawings without a download: the characters of the DejaVu fonts that come with matplotlib, as if written by hand.

As Omniglot they are 28 x 28 bits, 20 drawings a class, and strokes of about one pixel: a glyph is thinned to its middle
line (Zhang and Suen 1984, "A fast parallel algorithm for thinning digital patterns"), which is then turned, sheared,
stretched and bent at random and drawn again. Drawing d is made from the d-th of the fonts that have the character, and
again from the first.
"""

import functools
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont

from metarec_jax.data.classes import Classes, check
from metarec_jax.data.hashing import seeded_hash

FONTS = (
    "DejaVuSans", "DejaVuSerif", "DejaVuSans-Bold", "DejaVuSerif-Italic", "DejaVuSansMono", "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique", "DejaVuSerif-Bold",
)  # fmt: skip
NEEDED = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")  # that have each character
KINDS = ("Lu", "Ll", "Lt", "Lo", "Nd", "No", "Sm", "Sc")  # Unicode categories: letters, digits, signs of mathematics
DRAWINGS = 20
SIDE = 28  # pixels of a drawing
_CANVAS = 36  # pixels a glyph is thinned on, with an empty margin of 2
_ALIKE = 0.65  # intersection over union from which two characters are one class
_SHARES = (0.7, 0.1, 0.2)  # of the letters, for train, valid and test


@functools.cache
def load(data_dir: Path | None = None) -> Classes:
    """All classes, with x uint8 [N, 28, 28], 1 where there is ink; some seconds to make, always the same.

    Characters that look alike whatever their size, as c and C or the Latin and the Greek A, are one class. What is
    written with one letter (c and C and their accents) is in one part.

    Args:
      data_dir: for the sake of the other sets; nothing is read there.
    """
    del data_dir
    characters, x = make(_characters())
    offsets = np.arange(len(characters) + 1, dtype=np.int64) * DRAWINGS
    source = f"the fonts of matplotlib {matplotlib.__version__}"
    return check(Classes("glyphs", x, offsets, characters, _parts(characters), source), source)


def make(characters: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Those of the characters that look like no earlier one, C, and their drawings [20 C, 28, 28] uint8."""
    glyphs = {font: _glyphs(font, characters) for font in FONTS}
    kept = _unlike(characters, glyphs[FONTS[0]])
    own = [[glyphs[font][character] for font in FONTS if character in glyphs[font]] for character in kept]
    first = np.cumsum([0, *map(len, own)])
    lines = thinned(np.stack([glyph for of_one in own for glyph in of_one]))
    chosen = np.concatenate([at + np.arange(DRAWINGS) % len(of_one) for at, of_one in zip(first, own, strict=False)])
    return kept, _drawn(lines, chosen, np.random.default_rng(0))


def _path(font: str) -> str:
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf")


def _characters() -> list[str]:
    """Those that all of `NEEDED` have, in the order of Unicode."""
    common = set.intersection(*(set(FT2Font(_path(font)).get_charmap()) for font in NEEDED))
    return [chr(code) for code in sorted(common) if unicodedata.category(chr(code)) in KINDS]


def _glyphs(font: str, characters: Sequence[str]) -> dict[str, np.ndarray]:
    """Character -> its glyph, scaled to fill the canvas but for the margin, [36, 36] bool, where the font has one."""
    known, room = FT2Font(_path(font)).get_charmap(), _CANVAS - 4
    face = ImageFont.truetype(_path(font), 48)
    found = {}
    for character in characters:
        if ord(character) not in known:
            continue
        mask = face.getmask(character)
        if not all(mask.size):
            continue
        glyph = Image.frombytes("L", mask.size, bytes(mask))
        size = tuple(max(3, round(side * room / max(mask.size))) for side in mask.size)
        canvas = Image.new("L", (_CANVAS, _CANVAS))
        canvas.paste(glyph.resize(size, Image.Resampling.BOX), tuple((_CANVAS - side) // 2 for side in size))
        found[character] = np.asarray(canvas) > 127
    return found


def _unlike(characters: Sequence[str], glyphs: dict[str, np.ndarray]) -> list[str]:
    """The characters that look like no earlier one."""
    characters = [character for character in characters if character in glyphs and glyphs[character].any()]
    flat = np.stack([glyphs[character] for character in characters]).reshape(len(characters), -1).astype(np.float32)
    shared, ink = flat @ flat.T, flat.sum(1)
    alike = shared > _ALIKE * (ink[:, None] + ink - shared)
    kept: list[int] = []
    for row in range(len(characters)):
        if not alike[row, kept].any():
            kept.append(row)
    return [characters[row] for row in kept]


def _parts(characters: list[str]) -> dict[str, np.ndarray]:
    """Classes by part, by a hash of the letter that a character is written with."""
    letters = [unicodedata.normalize("NFKD", character).casefold()[0] for character in characters]
    place = np.array([seeded_hash("glyphs", letter) for letter in letters]) / 2.0**63
    edges = np.cumsum(_SHARES)[:-1]
    part = np.searchsorted(edges, place, side="right")
    return {name: np.flatnonzero(part == number) for number, name in enumerate(("train", "valid", "test"))}


def thinned(ink: np.ndarray) -> np.ndarray:
    """The middle lines of glyphs [N, H, W] bool with an empty border; all glyphs at once."""
    ink, busy, tables = ink.copy(), np.arange(len(ink)), _removable()
    while len(busy):
        now = ink[busy]
        before = now.sum((1, 2))
        for table in tables:
            code = _neighbours(now)
            gone = now[:, 1:-1, 1:-1] & table[code]
            now[:, 1:-1, 1:-1] &= ~gone
            # The method rubs out a dot of 2 x 2; its first pixel stays.
            dots = np.flatnonzero((gone & (code == _CORNER)).any((1, 2)))
            now[dots, 1:-1, 1:-1] |= gone[dots] & (code[dots] == _CORNER) & (_neighbours(now[dots]) == 0)
        ink[busy] = now
        busy = busy[now.sum((1, 2)) < before]
    return ink


_CORNER = 0b00011100  # ink to the right, below and between: the first pixel of a dot
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise from above: bits 0..7


def _neighbours(ink: np.ndarray) -> np.ndarray:
    """Which neighbours of each pixel off the border have ink, a bit each: [N, H - 2, W - 2] uint8."""
    height, width = ink.shape[1] - 2, ink.shape[2] - 2
    code = np.zeros((len(ink), height, width), np.uint8)
    for bit, (down, right) in enumerate(_AROUND):
        code |= ink[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width].astype(np.uint8) << np.uint8(bit)
    return code


def _removable() -> tuple[np.ndarray, np.ndarray]:
    """For each of the 256 neighbourhoods whether the first, and the second, half step of Zhang and Suen removes a
    pixel."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    number = bits.sum(1)
    changes = ((bits == 0) & (np.roll(bits, -1, 1) == 1)).sum(1)
    common = (number >= 2) & (number <= 6) & (changes == 1)
    up, right, down, left = bits[:, 0], bits[:, 2], bits[:, 4], bits[:, 6]
    first = common & (up * right * down == 0) & (right * down * left == 0)
    return first, common & (up * right * left == 0) & (up * down * left == 0)


def _drawn(lines: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drawings [N, 28, 28] uint8 after some of the middle lines [G, 36, 36], `chosen` [N], each in its own hand."""
    number = len(chosen)
    glyph, y, x = np.nonzero(lines)
    sizes = np.bincount(glyph, minlength=len(lines))
    begin, size = (np.cumsum(sizes) - sizes)[chosen], sizes[chosen]
    owner = np.repeat(np.arange(number), size)
    point = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size) + begin[owner]
    points = (np.stack([x, y], -1)[point] - (_CANVAS - 1) / 2).astype(np.float32) / (0.5 * (_CANVAS - 4))  # -1..1

    def of(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (number, *shape)).astype(np.float32)

    # Bend: each coordinate moves by a wave along the other one.
    phase, waves, depth = of(0, 2 * np.pi, 2), of(1.0, 3.0, 2), of(0.0, 0.15, 2)
    points += depth[owner] * np.sin(waves[owner] * points[:, ::-1] + phase[owner])
    angle, shear, stretch, scale = of(-0.25, 0.25), of(-0.3, 0.3), of(-0.25, 0.25), of(7.5, 11.0)
    cosine, sine, wide, high = np.cos(angle), np.sin(angle), np.exp(stretch), np.exp(-stretch)
    matrix = scale[:, None, None] * np.stack(
        [np.stack([cosine * wide, (shear * cosine - sine) * high], -1),
         np.stack([sine * wide, (shear * sine + cosine) * high], -1)], 1
    )  # fmt: skip
    at = np.einsum("nij,nj->ni", matrix[owner], points) + SIDE / 2 + of(-2.0, 2.0, 2)[owner]
    drawings = np.zeros((number, SIDE, SIDE), np.uint8)
    breadth = of(0.0, 0.6)[owner, None]  # of the pen beyond one pixel
    for corner in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)):
        column, row = np.clip(np.floor(at + breadth * corner), 0, SIDE - 1).astype(int).T
        drawings[owner, row, column] = 1
    return drawings
