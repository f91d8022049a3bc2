"""MovieLens-100K from the wheel: the same table as the official files, and only from the known wheel."""

import dataclasses
import hashlib
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from metarec_jax import data
from metarec_jax.data.fetch import download, recbole_wheel
from metarec_jax.data.table import DataError

GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip
PREFIX = "recbole/dataset_example/ml-100k/ml-100k."
WHEEL = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "2\t267\t3\t881250949\n1\t543\t5\t881250950\n1\t1412\t1\t881250900\n1\t1635\t2\t881250901\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\tV5A2B\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "267\tunkonwn\tunkonwn\tunknown\n543\tMisérables, Les\t1995\tDrama Musical\n"
    "1412\tLand Before Time III (1995)\tV\tAnimation Children's\n1635\tTwo Friends\t1986\tDrama\n",
}


def official(folder: Path) -> None:
    """The same rows as GroupLens writes them, release dates and trailing blank included."""
    folder.mkdir(parents=True)
    films = {
        "267|unknown|||": {"unknown"},
        "543|Misérables, Les (1995)|01-Jan-1995||http://imdb": {"Drama", "Musical"},
        "1412|Land Before Time III (1995) (V)|01-Jan-1995||http://imdb": {"Animation", "Children's"},
        "1635|Two Friends (1986) |26-Apr-1986||http://imdb": {"Drama"},
    }
    files = {
        "u.data": WHEEL["inter"].partition("\n")[2],
        "u.user": WHEEL["user"].partition("\n")[2].replace("\t", "|"),
        "u.genre": "".join(f"{genre}|{k}\n" for k, genre in enumerate(GENRES)) + "\n",
        "u.item": "".join(
            "|".join([film, *(str(int(genre in genres)) for genre in GENRES)]) + "\n" for film, genres in films.items()
        ),
    }
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("latin-1"))


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for kind, text in WHEEL.items():
            opened.writestr(PREFIX + kind, text)
    return path


@pytest.fixture(autouse=True)
def only_the_wheel(monkeypatch):
    """The official host cannot be reached, and the few rows are not counted."""
    place("file:///nowhere.zip", monkeypatch)


def place(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = download.SPECS["ml-100k"]
    monkeypatch.setitem(download.SPECS, "ml-100k", dataclasses.replace(spec, urls=(url,), counts={}))


def refused(root: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load("ml-100k", root)
    assert not root.exists()


@pytest.fixture
def pip(monkeypatch, wheel):
    """pip as it would be with this wheel; the returned list collects the commands."""
    commands = []

    def run(command, **settings):
        commands.append(command)
        destination = Path(command[command.index("--dest") + 1])
        (destination / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(recbole_wheel, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    return commands


def test_gives_the_official_table(tmp_path, pip):
    ours = data.load("ml-100k", tmp_path / "fetched")
    official(tmp_path / "official" / "ml-100k")
    theirs = data.load("ml-100k", tmp_path / "official")
    assert ours.sha256 == theirs.sha256
    for field in ("user", "item", "rating", "timestamp", "user_ids", "item_ids", "item_titles"):
        assert np.array_equal(getattr(ours, field), getattr(theirs, field)), field
    for field in ("user_features", "item_features"):
        mine, given = getattr(ours, field), getattr(theirs, field)
        assert mine.names == given.names and np.array_equal(mine.values, given.values), field
    assert "recbole==1.2.1" in ours.source
    assert {"--no-deps", "--only-binary=:all:", "recbole==1.2.1"} <= set(pip[0])
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["ml-100k"]


def test_another_wheel_is_refused(tmp_path, pip, monkeypatch):
    monkeypatch.setattr(recbole_wheel, "SHA256", "0" * 64)
    refused(tmp_path / "fetched", "not the wheel that we know")


def test_pip_without_network(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **settings: failed)
    refused(tmp_path / "fetched", r"nowhere\.zip.*pip cannot download recbole==1\.2\.1: ERROR: no matching")


def test_does_not_stand_in_for_a_corrupted_archive(tmp_path, pip, monkeypatch):
    (tmp_path / "served.zip").write_bytes(b"not what it should be")
    place((tmp_path / "served.zip").as_uri(), monkeypatch)
    refused(tmp_path / "fetched", "a corrupted or edited archive")
    assert not pip
