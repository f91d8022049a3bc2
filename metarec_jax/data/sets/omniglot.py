"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn once by 20 people. Lake et al., Science 350, 2015.

The classes are split 1,028 / 172 / 423 as in Vinyals et al. 2016 (arXiv:1606.04080) and most papers since; the lists
are those of torchmeta.
"""

from pathlib import Path

import numpy as np

from metarec_jax.data.classes import Classes, check
from metarec_jax.data.fetch import download
from metarec_jax.data.sets.omniglot_pack import DRAWERS, PACKED, SIDE
from metarec_jax.data.table import DataError
from metarec_jax.ops.untrusted import DamagedError, json_value, npz_arrays

_LISTS = {"train": "vinyals_train.json", "valid": "vinyals_val.json", "test": "vinyals_test.json"}


def load(data_dir: Path | None = None) -> Classes:
    """All characters, background first, with x uint8 [32460, 28, 28], 1 where there is ink.

    Args:
      data_dir: see `download.data_root`. Its folder `omniglot` may hold the packed file, or the two official archives,
        which are packed then.

    Raises:
      DataError: the set is not there and cannot be fetched, or is not the official one.
    """
    folder = download.locate("omniglot", data_dir)
    names, packed = read_packed(folder / PACKED)
    parts = {part: _listed(folder / file, names) for part, file in _LISTS.items()}
    x = np.unpackbits(packed, axis=-1).reshape(-1, SIDE, SIDE)
    counts = {"characters": len(names), "images": len(x)} | {part: len(members) for part, members in parts.items()}
    download.check_counts("omniglot", counts, folder)
    offsets = np.arange(len(names) + 1, dtype=np.int64) * DRAWERS
    return check(Classes("omniglot", x, offsets, names, parts, download.source(folder)), folder)


def read_packed(path: Path) -> tuple[list[str], np.ndarray]:
    """Characters [C] and their drawings as bits [C, 20, 98] uint8.

    Raises:
      DataError: the file is not of this form.
    """
    try:
        arrays = npz_arrays(path)
        images, names = arrays["images"], arrays["class_names"].tolist()
    except (OSError, DamagedError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it.") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: class_names are no names; delete it.")
    if images.dtype != np.uint8 or images.shape != (len(names), DRAWERS, SIDE * SIDE // 8):
        raise DataError(f"{path}: the drawings are {images.dtype}{list(images.shape)}; delete it.")
    return names, images


def _listed(path: Path, names: list[str]) -> np.ndarray:
    """The classes in a list, ascending; the file holds {"background": {alphabet: [character]}, "evaluation": ...}."""
    place = {name: index for index, name in enumerate(names)}
    try:
        lists = json_value(path.read_bytes())
        characters = [
            f"{alphabet}/{c}" for half in lists.values() for alphabet, names_drawn in half.items() for c in names_drawn
        ]
        return np.sort([place[name] for name in characters])
    except (DamagedError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it.") from error
    except KeyError as error:
        raise DataError(f"{path}: no character {error} in the drawings; an edited copy; delete it.") from error
