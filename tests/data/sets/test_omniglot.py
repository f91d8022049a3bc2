"""Omniglot: packing the official archives, the published split, and refusal of what is not the official set."""

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metarec_jax.data.fetch import download
from metarec_jax.data.sets import omniglot, omniglot_pack
from metarec_jax.data.table import DataError

LISTS = {
    "vinyals_train.json": {"background": {"Greek": ["character02"]}, "evaluation": {"Tengwar": ["character01"]}},
    "vinyals_val.json": {"background": {}, "evaluation": {"Tengwar": ["character02"]}},
    "vinyals_test.json": {"background": {"Greek": ["character01"]}},
}
COUNTS = {"characters": 4, "images": 80, "train": 2, "valid": 1, "test": 1}


def drawing(number: int) -> np.ndarray:
    """[105, 105] bool, True is ink: a bar whose height tells the number."""
    picture = np.zeros((105, 105), bool)
    picture[: number + 1, 30:60] = True
    return picture


def png(ink: np.ndarray, mode: str = "1") -> bytes:
    content = io.BytesIO()
    Image.fromarray(~ink).convert(mode).save(content, "PNG")
    return content.getvalue()


def zipped(path: Path, half: str, alphabet: str, first: int, drawers: int = 20) -> None:
    with zipfile.ZipFile(path, "w") as opened:
        for character in (2, 1):  # not in order
            for drawer in range(1, drawers + 1):
                name = f"{half}/{alphabet}/character{character:02}/{first:04}_{drawer:02}.png"
                opened.writestr(name, png(drawing(first + 20 * character + drawer)))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The official archives of two alphabets of two characters in a data directory."""
    spec = dataclasses.replace(download.SPECS["omniglot"], counts=COUNTS)
    monkeypatch.setitem(download.SPECS, "omniglot", spec)
    folder = tmp_path / "omniglot"
    folder.mkdir()
    zipped(folder / "images_background.zip", "images_background", "Greek", 0)
    zipped(folder / "images_evaluation.zip", "images_evaluation", "Tengwar", 40)
    for name, content in LISTS.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_archives_are_packed_once_and_read_in_order(folder):
    classes = omniglot.load(folder.parent)
    assert classes.class_names == [f"{a}/character{c}" for a in ("Greek", "Tengwar") for c in ("01", "02")]
    assert {part: members.tolist() for part, members in classes.parts.items()} == {
        "train": [1, 2],
        "valid": [3],
        "test": [0],
    }
    assert classes.x.dtype == np.uint8 and classes.x.shape == (80, 28, 28) and (classes.sizes == 20).all()
    # character 2 of the first alphabet by drawer 3: every 3.75th pixel, from the middle of the first
    middles = (3.75 * (np.arange(28) + 0.5)).astype(int)
    np.testing.assert_array_equal(classes.x[22], drawing(43)[np.ix_(middles, middles)])
    assert sorted(path.name for path in folder.iterdir()) == [omniglot_pack.PACKED, *sorted(LISTS)]
    np.testing.assert_array_equal(omniglot.load(folder.parent).x, classes.x)


def test_a_fetched_set_is_packed_before_it_is_there(folder, tmp_path, monkeypatch):
    urls = [(folder / name).as_uri() for name in ("images_background.zip", "images_evaluation.zip")]
    urls += [(folder / name).as_uri() for name in LISTS]
    sums = tuple(hashlib.sha256(Path(url[7:]).read_bytes()).hexdigest() for url in urls)
    names = ("images_background.zip", "images_evaluation.zip", *LISTS)
    spec = dataclasses.replace(download.SPECS["omniglot"], urls=tuple(urls), sums=sums, names=names)
    monkeypatch.setitem(download.SPECS, "omniglot", spec)
    classes = omniglot.load(tmp_path / "elsewhere")
    assert len(classes.x) == 80 and "MIT" in classes.source
    monkeypatch.setitem(download.SPECS, "omniglot", dataclasses.replace(spec, sums=("0" * 64, *sums[1:])))
    with pytest.raises(DataError, match="the checksum of the download is .*, not 000"):
        omniglot.load(tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_what_is_not_the_official_set_is_refused(folder):
    whole = json.dumps(LISTS["vinyals_train.json"])
    for text, message in [
        ("[]", "cannot be read"),
        (whole.replace("character02", "character09"), "no character 'Greek/character09'"),
        (whole.replace('"character02"', ""), "1 train where omniglot has 2"),
        (whole.replace("character02", "character01"), r"share classes \['Greek/character01'\]"),
    ]:
        (folder / "vinyals_train.json").write_text(text)
        with pytest.raises(DataError, match=message):
            omniglot.load(folder.parent)


def test_damaged_archives_and_files(folder):
    background = folder / "images_background.zip"
    zipped(background, "images_background", "Greek", 0, drawers=19)
    with pytest.raises(DataError, match="Greek/character02 has 19 drawings, not 20"):
        omniglot.load(folder.parent)
    background.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="images_background.zip: damaged"):
        omniglot.load(folder.parent)
    background.unlink()
    with pytest.raises(DataError, match=f"has no {omniglot_pack.PACKED}"):
        omniglot.load(folder.parent)
    np.savez(folder / omniglot_pack.PACKED, images=np.zeros((3, 20, 98)), class_names=np.array(["a", "b", "c"]))
    with pytest.raises(DataError, match="the drawings are float64"):
        omniglot.load(folder.parent)
    np.savez(folder / omniglot_pack.PACKED, images=np.array([{}]), class_names=np.array(["a"]))  # a pickle within
    with pytest.raises(DataError, match="cannot be read"):
        omniglot.load(folder.parent)


def test_only_pictures_of_one_bit_are_ink():
    assert omniglot_pack.ink(png(drawing(104))).sum() == 28 * 8
    with pytest.raises(ValueError, match="mode L"):
        omniglot_pack.ink(png(drawing(3), "L"))
    with pytest.raises(ValueError, match="not a picture"):
        omniglot_pack.ink(b"PNG")


def test_the_official_set():
    folder = download.data_root() / "omniglot"
    if not (folder / omniglot_pack.PACKED).is_file():
        pytest.skip(
            f"{folder} is missing: set METAREC_DATA_DIR to the folder that holds omniglot, or run "
            "python -c 'from metarec_jax.data import omniglot; omniglot.load()' once with network access"
        )
    classes = omniglot.load()
    assert {part: len(members) for part, members in classes.parts.items()} == {
        "train": 1_028,
        "valid": 172,
        "test": 423,
    }
    assert classes.x.shape == (32_460, 28, 28) and 0.07 < classes.x.mean() < 0.09
    assert len({name.split("/")[0] for name in classes.class_names}) == 50
    small = folder / "images_background_small1.zip"  # drawings in the official format, where somebody has them
    if small.is_file():
        with zipfile.ZipFile(small) as opened:
            for member in [name for name in opened.namelist() if name.endswith(".png")][::97]:
                _, alphabet, character, file = member.split("/")
                row = 20 * classes.class_names.index(f"{alphabet}/{character}") + int(file[5:7]) - 1
                np.testing.assert_array_equal(omniglot_pack.ink(opened.read(member)), classes.x[row])
