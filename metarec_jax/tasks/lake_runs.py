"""The 20 fixed one-shot runs on Omniglot: 20 characters drawn once, and 20 drawings by somebody else to be matched.

Lake, Salakhutdinov and Tenenbaum 2015, Science 350 (the classification task of figure 6; people err on 4.5%). The
archive is `python/one-shot-classification/all_runs.zip` of their repository. Unlike sampled episodes, the characters of
a run are of one alphabet, so the runs are harder than 20-way 1-shot at random.
"""

import re
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from metarec_jax.data.sets.omniglot_pack import drawing, member
from metarec_jax.data.table import DataError
from metarec_jax.ops.untrusted import DamagedError, opened_zip
from metarec_jax.tasks.n_way import shown
from metarec_jax.types import Episode, Examples

RUNS, WAYS = 20, 20
ARCHIVE = "all_runs.zip"
MOST = 2**24  # bytes of the unpacked archive: the official one has less than a million
_PAIR = re.compile(r"(run\d\d/test/item\d\d\.png) (run\d\d/training/class\d\d\.png)")


def lake_runs(archive: Path, runs: int = RUNS, ways: int = WAYS) -> Episode:
    """All runs as episodes, [runs] leading on every leaf.

    Args:
      archive: the path of the archive; nothing is unpacked to the disk.
      runs, ways: the official numbers.

    Returns:
      Support and query with x float32 [runs, ways, 28, 28, 1], ink 1. Class c of run r is its training drawing c + 1;
      query i is its test drawing i + 1.

    Raises:
      DataError: the archive is missing, damaged, or not of this form; the message names the member.
    """
    try:
        with opened_zip(archive, MOST) as opened:
            drawn = [_run(opened, run + 1, ways) for run in range(runs)]
    except (DamagedError, OSError) as error:
        raise DataError(f"{archive}: cannot be read ({error}); not the official archive; fetch it again.") from error
    known, asked, labels = (np.stack(parts) for parts in zip(*drawn, strict=True))
    known_labels = np.broadcast_to(np.arange(ways, dtype=np.int32), (runs, ways))

    def examples(pictures: np.ndarray, y: np.ndarray) -> Examples:
        x = shown(jnp.asarray(pictures.reshape(-1, *pictures.shape[2:])))
        return Examples(x.reshape(runs, ways, *x.shape[1:]), jnp.asarray(y), jnp.ones((runs, ways)))

    return Episode(examples(known, known_labels), examples(asked, labels))


def _run(opened: zipfile.ZipFile, run: int, ways: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One run's training drawings and test drawings, [ways, 28, 28] each, and the classes of the latter, [ways] int32.

    Raises:
      DamagedError: a member is missing or unreadable, or the labels do not match the drawings one to one.
    """
    folder = f"run{run:02}"
    lines = member(opened, f"{folder}/class_labels.txt").decode("ascii", "replace").split("\n")
    class_of = dict(match.groups() for line in lines if (match := _PAIR.fullmatch(line.strip())))
    known = [f"{folder}/training/class{number:02}.png" for number in range(1, ways + 1)]
    asked = [f"{folder}/test/item{number:02}.png" for number in range(1, ways + 1)]
    if set(class_of) != set(asked) or set(class_of.values()) != set(known):
        raise DamagedError(f"{folder}/class_labels.txt does not name each of {ways} drawings once")
    labels = np.array([known.index(class_of[name]) for name in asked], np.int32)
    return _drawings(opened, known), _drawings(opened, asked), labels


def _drawings(opened: zipfile.ZipFile, names: list[str]) -> np.ndarray:
    """[len(names), 28, 28] uint8."""
    return np.stack([drawing(opened, name) for name in names])
