"""Omniglot's two official archives of 105 x 105 drawings as one small file of 28 x 28 bits."""

import io
import re
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from metarec_jax.data.table import DataError
from metarec_jax.ops.files import write_atomic

PACKED = "omniglot_28x28_1bit.npz"
ARCHIVES = ("images_background.zip", "images_evaluation.zip")
SIDE = 28  # pixels
DRAWERS = 20  # of each character
_MEMBER = re.compile(r"images_\w+/([^/]+)/(character\d+)/\d+_(\d\d)\.png")


def ink(png: bytes) -> np.ndarray:
    """A PNG drawing, black on white with 1 bit a pixel, as [28, 28] uint8, 1 where there is ink.

    Resized to the nearest pixel, as usual in the literature: Pillow does so for 1-bit pictures whatever the filter, and
    so did the code of the MAML paper.

    Raises:
      ValueError: not a picture, or not of 1 bit a pixel.
    """
    try:
        with Image.open(io.BytesIO(png)) as picture:
            if picture.mode != "1":
                raise ValueError(f"a picture of mode {picture.mode}, not of 1 bit a pixel")
            return 1 - np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), np.uint8)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError("not a picture") from error


def prepare(folder: Path) -> None:
    """Write `PACKED` into a folder that holds the two archives, and delete these. Does nothing if one is missing.

    Raises:
      DataError: an archive is damaged, or does not hold 20 drawings of each character.
      OSError: the folder cannot be written.
    """
    archives = [folder / name for name in ARCHIVES]
    if (folder / PACKED).exists() or not all(archive.is_file() for archive in archives):
        return
    read = [_read(archive) for archive in archives]
    content = io.BytesIO()
    np.savez(
        content,
        images=np.concatenate([images for _, images in read]),
        class_names=np.array([name for names, _ in read for name in names]),
        num_background_classes=np.array(len(read[0][0])),
    )
    write_atomic(folder / PACKED, content.getvalue())
    for archive in archives:
        archive.unlink()


def _read(archive: Path) -> tuple[list[str], np.ndarray]:
    """Names of the characters, [C] sorted, and their packed drawings by drawer, [C, 20, 98] uint8."""
    drawings_by_name: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                if match := _MEMBER.fullmatch(member):
                    drawings_by_name[f"{match[1]}/{match[2]}"][int(match[3]) - 1] = np.packbits(
                        ink(opened.read(member))
                    )
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise DataError(f"{archive}: damaged ({error}); delete it and fetch it again.") from error
    for name, drawings in drawings_by_name.items():
        if sorted(drawings) != list(range(DRAWERS)):
            raise DataError(f"{archive}: {name} has {len(drawings)} drawings, not {DRAWERS}; fetch it again.")
    if not drawings_by_name:
        raise DataError(f"{archive}: no drawings in it; fetch it again.")
    names = sorted(drawings_by_name)
    return names, np.stack([[drawings_by_name[name][drawer] for drawer in range(DRAWERS)] for name in names])
