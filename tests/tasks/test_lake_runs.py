"""The fixed one-shot runs: which drawing is of which class, and refusal of archives that are not of this form."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError
from metarec_jax.tasks.lake_runs import ARCHIVE, lake_runs

LABELS = [[2, 1], [1, 2]]  # class of the test drawings of two runs, from 1


def png(height: int) -> bytes:
    white = np.ones((105, 105), bool)
    white[:height] = False
    content = io.BytesIO()
    Image.fromarray(white).save(content, "PNG")
    return content.getvalue()


def members() -> dict[str, bytes]:
    """Class c of run r is 30 r + 10 c pixels high, its test drawing 2 more."""
    found = {}
    for run, labels in enumerate(LABELS, 1):
        lines = []
        for number, label in enumerate(labels, 1):
            found[f"run{run:02}/training/class{number:02}.png"] = png(30 * run + 10 * number)
            found[f"run{run:02}/test/item{number:02}.png"] = png(30 * run + 10 * label + 2)
            lines.append(f"run{run:02}/test/item{number:02}.png run{run:02}/training/class{label:02}.png\n")
        found[f"run{run:02}/class_labels.txt"] = "".join(lines).encode()
    return found


def zipped(path: Path, changes: dict[str, bytes | None]) -> Path:
    with zipfile.ZipFile(path / ARCHIVE, "w") as opened:
        for name, content in (members() | changes).items():
            if content is not None:
                opened.writestr(name, content)
    return path / ARCHIVE


def test_runs_are_episodes(tmp_path):
    runs = lake_runs(zipped(tmp_path, {}), runs=2, ways=2)
    assert runs.support.x.shape == runs.query.x.shape == (2, 2, 28, 28, 1)
    assert runs.support.y.tolist() == [[0, 1], [0, 1]] and runs.query.y.tolist() == [[1, 0], [0, 1]]
    assert runs.support.mask.shape == (2, 2) and runs.query.mask.all()
    rows = np.asarray(runs.support.x).mean((3, 4))  # ink is whole rows
    assert set(np.unique(rows)) == {0, 1}
    np.testing.assert_array_equal(rows.sum(-1), np.round([[40 / 3.75, 50 / 3.75], [70 / 3.75, 80 / 3.75]]))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"run02/test/item01.png": None}, "no run02/test/item01.png"),
        ({"run01/training/class02.png": b"PNG"}, "run01/training/class02.png: not a picture"),
        ({"run01/training/class02.png": b"0" * 2**25}, "would unpack to 33,5.* bytes, which is more than 16,777,216"),
        ({"run01/class_labels.txt": b""}, "run01/class_labels.txt does not name each of 2 drawings once"),
        ({"run02/class_labels.txt": members()["run01/class_labels.txt"]}, "run02/class_labels.txt does not name"),
        ({"run01/class_labels.txt": "\xff".encode("latin-1")}, "not the official archive"),
    ],
)
def test_what_is_not_the_official_archive_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        lake_runs(zipped(tmp_path, changes), runs=2, ways=2)


def test_no_archive_and_no_zip(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        lake_runs(tmp_path / ARCHIVE)
    (tmp_path / ARCHIVE).write_bytes(b"PK")
    with pytest.raises(DataError, match="cannot be read"):
        lake_runs(tmp_path / ARCHIVE)


def test_the_official_runs():
    archive = download.data_root() / "omniglot" / ARCHIVE
    if not archive.is_file():
        pytest.skip(f"{archive} is missing: set METAREC_DATA_DIR to the folder that holds omniglot with {ARCHIVE}")
    runs = lake_runs(archive)
    assert runs.query.x.shape == (20, 20, 28, 28, 1) and (np.sort(runs.query.y, 1) == np.arange(20)).all()
    apart = np.square(np.asarray(runs.query.x)[:, :, None] - np.asarray(runs.support.x)[:, None]).sum((3, 4, 5))
    right = (apart.argmin(-1) == runs.query.y).mean()
    assert 0.1 < right < 0.35  # by pixels: chance is 0.05, and it is far from people's 0.955
