"""Drawings that need no download: the characters of the DejaVu fonts that come with matplotlib, distorted at random.

As in Omniglot, drawings are 28 x 28 bits with strokes of about one pixel, 20 a class. A glyph is thinned to its centre
line (Zhang and Suen 1984, "A fast parallel algorithm for thinning digital patterns"), which is then rotated, sheared,
stretched and bent at random and drawn again. The drawings of a class use the fonts that have the character in turn.
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
NEEDED = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")  # must have each character
KINDS = ("Lu", "Ll", "Lt", "Lo", "Nd", "No", "Sm", "Sc")  # Unicode categories: letters, digits, signs of mathematics
DRAWINGS = 20
SIDE = 28  # pixels of a drawing
_CANVAS = 36  # side in pixels of the canvas that a glyph is thinned on, with an empty margin of 2
_ALIKE = 0.65  # intersection over union from which two characters are one class
_FRACTIONS = (0.7, 0.1, 0.2)  # of the letters, for train, valid and test


@functools.cache
def load(data_dir: Path | None = None) -> Classes:
    """All classes, with x uint8 [N, 28, 28], 1 where there is ink. Takes some seconds; the result is always the same.

    Characters of the same shape at any size, such as c and C or the Latin and the Greek A, are one class. Characters of
    one letter (c, C and their accents) are in one part of the split.

    Args:
      data_dir: as for other sets; nothing is read there.
    """
    del data_dir
    characters, x = make(_characters())
    offsets = np.arange(len(characters) + 1, dtype=np.int64) * DRAWINGS
    source = f"the fonts of matplotlib {matplotlib.__version__}"
    return check(Classes("glyphs", x, offsets, characters, _split_by_letter(characters), source), source)


def make(characters: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The C distinct characters, each unlike all earlier ones, and their drawings [20 C, 28, 28] uint8."""
    glyphs = {font: _glyphs(font, characters) for font in FONTS}
    distinct = _distinct(characters, glyphs[FONTS[0]])
    glyphs_by_character = [
        [glyphs[font][character] for font in FONTS if character in glyphs[font]] for character in distinct
    ]
    first = np.cumsum([0, *map(len, glyphs_by_character)])
    lines = thinned(np.stack([glyph for character_glyphs in glyphs_by_character for glyph in character_glyphs]))
    chosen = np.concatenate(
        [
            offset + np.arange(DRAWINGS) % len(character_glyphs)
            for offset, character_glyphs in zip(first, glyphs_by_character, strict=False)
        ]
    )
    return distinct, _draw(lines, chosen, np.random.default_rng(0))


def _path(font: str) -> str:
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf")


def _characters() -> list[str]:
    """The characters of `KINDS` that all fonts `NEEDED` have, in the order of Unicode."""
    common = set.intersection(*(set(FT2Font(_path(font)).get_charmap()) for font in NEEDED))
    return [chr(code) for code in sorted(common) if unicodedata.category(chr(code)) in KINDS]


def _glyphs(font: str, characters: Sequence[str]) -> dict[str, np.ndarray]:
    """Character -> its glyph [36, 36] bool, scaled to fill the canvas within the margin, where the font has one."""
    known, room = FT2Font(_path(font)).get_charmap(), _CANVAS - 4
    face = ImageFont.truetype(_path(font), 48)
    glyphs = {}
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
        glyphs[character] = np.asarray(canvas) > 127
    return glyphs


def _distinct(characters: Sequence[str], glyphs: dict[str, np.ndarray]) -> list[str]:
    """The characters that are unlike all earlier ones."""
    characters = [character for character in characters if character in glyphs and glyphs[character].any()]
    flat = np.stack([glyphs[character] for character in characters]).reshape(len(characters), -1).astype(np.float32)
    shared, ink = flat @ flat.T, flat.sum(1)
    alike = shared > _ALIKE * (ink[:, None] + ink - shared)
    distinct: list[int] = []
    for row in range(len(characters)):
        if not alike[row, distinct].any():
            distinct.append(row)
    return [characters[row] for row in distinct]


def _split_by_letter(characters: list[str]) -> dict[str, np.ndarray]:
    """Part of the split -> its classes, by a hash of the letter of each character."""
    letters = [unicodedata.normalize("NFKD", character).casefold()[0] for character in characters]
    place = np.array([seeded_hash("glyphs", letter) for letter in letters]) / 2.0**63
    edges = np.cumsum(_FRACTIONS)[:-1]
    part = np.searchsorted(edges, place, side="right")
    return {name: np.flatnonzero(part == number) for number, name in enumerate(("train", "valid", "test"))}


def thinned(ink: np.ndarray) -> np.ndarray:
    """The centre lines of glyphs [N, H, W] bool with an empty border, all glyphs at once."""
    ink, busy, tables = ink.copy(), np.arange(len(ink)), _removable()
    while len(busy):
        now = ink[busy]
        before = now.sum((1, 2))
        for table in tables:
            code = _neighbours(now)
            gone = now[:, 1:-1, 1:-1] & table[code]
            now[:, 1:-1, 1:-1] &= ~gone
            # The method erases a dot of 2 x 2; its first pixel is kept.
            dots = np.flatnonzero((gone & (code == _CORNER)).any((1, 2)))
            now[dots, 1:-1, 1:-1] |= gone[dots] & (code[dots] == _CORNER) & (_neighbours(now[dots]) == 0)
        ink[busy] = now
        busy = busy[now.sum((1, 2)) < before]
    return ink


_CORNER = 0b00011100  # ink to the right, below and between: the first pixel of a dot
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise from above: bits 0..7


def _neighbours(ink: np.ndarray) -> np.ndarray:
    """Which neighbours of each inner pixel have ink, one bit each: [N, H - 2, W - 2] uint8."""
    height, width = ink.shape[1] - 2, ink.shape[2] - 2
    code = np.zeros((len(ink), height, width), np.uint8)
    for bit, (down, right) in enumerate(_AROUND):
        code |= ink[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width].astype(np.uint8) << np.uint8(bit)
    return code


def _removable() -> tuple[np.ndarray, np.ndarray]:
    """For each of the 256 neighbourhoods, whether the first and the second subiteration of Zhang and Suen remove the
    pixel."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    number = bits.sum(1)
    changes = ((bits == 0) & (np.roll(bits, -1, 1) == 1)).sum(1)
    common = (number >= 2) & (number <= 6) & (changes == 1)
    up, right, down, left = bits[:, 0], bits[:, 2], bits[:, 4], bits[:, 6]
    first = common & (up * right * down == 0) & (right * down * left == 0)
    return first, common & (up * right * left == 0) & (up * down * left == 0)


def _draw(lines: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Randomly distorted drawings [N, 28, 28] uint8 of the centre lines `chosen` [N] among `lines` [G, 36, 36]."""
    number = len(chosen)
    glyph, y, x = np.nonzero(lines)
    sizes = np.bincount(glyph, minlength=len(lines))
    begin, size = (np.cumsum(sizes) - sizes)[chosen], sizes[chosen]
    owner = np.repeat(np.arange(number), size)
    point = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size) + begin[owner]
    points = (np.stack([x, y], -1)[point] - (_CANVAS - 1) / 2).astype(np.float32) / (0.5 * (_CANVAS - 4))  # -1..1

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (number, *shape)).astype(np.float32)

    # Bend: each coordinate moves by a wave along the other one.
    phase, waves, depth = uniform(0, 2 * np.pi, 2), uniform(1.0, 3.0, 2), uniform(0.0, 0.15, 2)
    points += depth[owner] * np.sin(waves[owner] * points[:, ::-1] + phase[owner])
    angle, shear, stretch, scale = uniform(-0.25, 0.25), uniform(-0.3, 0.3), uniform(-0.25, 0.25), uniform(7.5, 11.0)
    cosine, sine, wide, high = np.cos(angle), np.sin(angle), np.exp(stretch), np.exp(-stretch)
    matrix = scale[:, None, None] * np.stack(
        [np.stack([cosine * wide, (shear * cosine - sine) * high], -1),
         np.stack([sine * wide, (shear * sine + cosine) * high], -1)], 1
    )  # fmt: skip
    position = np.einsum("nij,nj->ni", matrix[owner], points) + SIDE / 2 + uniform(-2.0, 2.0, 2)[owner]
    drawings = np.zeros((number, SIDE, SIDE), np.uint8)
    breadth = uniform(0.0, 0.6)[owner, None]  # of the pen beyond one pixel
    for corner in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)):
        column, row = np.clip(np.floor(position + breadth * corner), 0, SIDE - 1).astype(int).T
        drawings[owner, row, column] = 1
    return drawings
