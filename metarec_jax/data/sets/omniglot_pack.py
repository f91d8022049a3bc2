"""Omniglot's two official archives of 105 x 105 drawings as one small file of 28 x 28 bits."""

import io
import re
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from metarec_jax.data.table import DataError
from metarec_jax.ops.files import npz_content, write_atomic
from metarec_jax.ops.untrusted import DamagedError, opened_zip

PACKED = "omniglot_28x28_1bit.npz"
ARCHIVES = ("images_background.zip", "images_evaluation.zip")
SIDE = 28  # pixels
LARGEST = 1000  # pixels of a side that is resized
UNPACKED = 2**27  # bytes of an unpacked archive: the official ones have less than a tenth
DRAWERS = 20  # of each character
_MEMBER = re.compile(r"images_\w+/([^/]+)/(character\d+)/\d+_(\d\d)\.png")


def ink(png: bytes) -> np.ndarray:
    """A PNG drawing, black on white with 1 bit a pixel, as [28, 28] uint8, 1 where there is ink.

    Resized to the nearest pixel, as usual in the literature: Pillow does so for 1-bit pictures whatever the filter, and
    so did the code of the MAML paper.

    Raises:
      DamagedError: not a picture, too large, or not of 1 bit a pixel.
    """
    try:
        with Image.open(io.BytesIO(png)) as picture:
            if picture.mode != "1":
                raise DamagedError(f"a picture of mode {picture.mode}, not of 1 bit a pixel")
            if max(picture.size) > LARGEST:
                raise DamagedError(f"a picture of {picture.size} pixels, not of 105 x 105")
            return 1 - np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), np.uint8)
    except DamagedError:
        raise
    except Exception as error:  # what Pillow raises on damaged bytes has no end
        raise DamagedError("not a picture") from error


def member(opened: zipfile.ZipFile, name: str) -> bytes:
    """The content of a file of an archive.

    Raises:
      DamagedError: there is none.
    """
    try:
        return opened.read(name)
    except KeyError:
        raise DamagedError(f"no {name}") from None


def drawing(opened: zipfile.ZipFile, name: str) -> np.ndarray:
    """`ink` of a drawing in an archive.

    Raises:
      DamagedError: there is none, or it is not one; the message names it.
    """
    try:
        return ink(member(opened, name))
    except DamagedError as error:
        raise DamagedError(f"{name}: {error}") from error


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
    content = {
        "images": np.concatenate([images for _, images in read]),
        "class_names": np.array([name for names, _ in read for name in names]),
        "num_background_classes": np.array(len(read[0][0])),
    }
    write_atomic(folder / PACKED, npz_content(content))
    for archive in archives:
        archive.unlink()


def _read(archive: Path) -> tuple[list[str], np.ndarray]:
    """Names of the characters, [C] sorted, and their packed drawings by drawer, [C, 20, 98] uint8."""
    drawings_by_name: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    try:
        with opened_zip(archive, UNPACKED) as opened:
            for name in opened.namelist():
                if match := _MEMBER.fullmatch(name):
                    packed = np.packbits(drawing(opened, name))
                    drawings_by_name[f"{match[1]}/{match[2]}"][int(match[3]) - 1] = packed
    except DamagedError as error:
        raise DataError(f"{archive}: damaged ({error}); delete it and fetch it again.") from error
    for name, drawings in drawings_by_name.items():
        if sorted(drawings) != list(range(DRAWERS)):
            raise DataError(f"{archive}: {name} has {len(drawings)} drawings, not {DRAWERS}; fetch it again.")
    if not drawings_by_name:
        raise DataError(f"{archive}: no drawings in it; fetch it again.")
    names = sorted(drawings_by_name)
    return names, np.stack([[drawings_by_name[name][drawer] for drawer in range(DRAWERS)] for name in names])
