"""Text sets: counts, splits of classes, and refusal of edited copies; features that know the training classes only."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from metarec_jax import data
from metarec_jax.data.features import text as text_features
from metarec_jax.data.features.text import Bag, hashed_ngrams, sentences, utf8
from metarec_jax.data.fetch import download
from metarec_jax.data.sets import clinc150, huffpost
from metarec_jax.data.table import DataError
from metarec_jax.data.texts import Texts, build

REAL = {"clinc150": (22_500, 75, 30, 45), "banking77": (13_083, 40, 12, 25), "huffpost": (36_900, 20, 5, 16)}
DOMAINS = {f"domain {d}": [f"intent {d}.{i}" for i in range(2)] for d in range(10)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function that makes the folder of a set whose official figures are others."""

    def make(name: str, **counts: int) -> Path:
        spec = dataclasses.replace(download.SPECS[name], counts=counts)
        monkeypatch.setitem(download.SPECS, name, spec)
        (tmp_path / name).mkdir(exist_ok=True)
        return tmp_path / name

    return make


def write_clinc(folder: Path, **changes) -> None:
    halves = {half: [[f"say {i} {half}", i] for d in DOMAINS.values() for i in d] for half in ("train", "val", "test")}
    (folder / "data_full.json").write_text(json.dumps(halves | {"oos_train": [["what", "oos"]]} | changes))
    (folder / "domains.json").write_text(json.dumps(DOMAINS))


def test_clinc_domains_are_apart(folder):
    write_clinc(folder("clinc150", texts=60, classes=20))
    texts = clinc150.load(folder("clinc150", texts=60, classes=20).parent)
    assert texts.class_names[:2] == ["intent 0.0", "intent 0.1"]
    assert texts.texts[:3] == ["say intent 0.0 train", "say intent 0.0 val", "say intent 0.0 test"]
    domains = {part: {texts.class_names[c].split(".")[0] for c in members} for part, members in texts.parts.items()}
    assert {part: len(found) for part, found in domains.items()} == clinc150.DOMAINS
    assert not domains["train"] & domains["test"] and not domains["valid"] & domains["test"]


def test_edited_clinc_is_refused(folder):
    here = folder("clinc150", texts=60, classes=20)
    for changes, message in [
        ({"val": []}, "40 texts where clinc150 has 60: an edited or truncated copy"),
        ({"val": [["a", "new intent"]]}, "unknown class 'new intent'; not the official files"),
        ({"val": [["a"]]}, "not the official files .ValueError"),
    ]:
        write_clinc(here, **changes)
        with pytest.raises(DataError, match=message):
            clinc150.load(here.parent)


def test_banking_reads_quoted_questions(folder):
    here = folder("banking77", texts=4, classes=77)
    names = [f"intent {number}" for number in range(77)]
    (here / "categories.json").write_text(json.dumps(names))
    (here / "train.csv").write_text('text,category\n"\nWhy, then?\n",intent 3\nHow?,intent 0\n')
    (here / "test.csv").write_text("text,category\nWho?,intent 3\nWhen?,intent 5\n")
    with pytest.raises(DataError, match="3 classes where banking77 has 77"):
        data.TEXT_SETS["banking77"](here.parent)
    folder("banking77", texts=4, classes=3)
    texts = data.TEXT_SETS["banking77"](here.parent)
    assert texts.texts == ["How?", "Why, then?", "Who?", "When?"] and texts.offsets[3:5].tolist() == [1, 3]
    assert {part: len(members) for part, members in texts.parts.items()} == {"train": 40, "valid": 12, "test": 25}


def test_huffpost_has_the_published_split(folder):
    here = folder("huffpost", texts=42, classes=41)
    lines = [{"raw": f"news {number}", "label": number % 41} for number in range(42)]
    (here / "huffpost.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = huffpost.load(here.parent)
    assert texts.texts[:2] == ["news 0", "news 41"] and texts.parts["train"].tolist() == list(range(5, 25))
    (here / "huffpost.json").write_text('{"raw": "news", "label": 41}\n')
    with pytest.raises(DataError, match="not the official file .IndexError"):
        huffpost.load(here.parent)


@pytest.mark.parametrize("name", REAL)
def test_official_files(name):
    folder: Path = download.data_root() / name
    if not folder.is_dir():
        pytest.skip(
            f"{folder} is missing: set METAREC_DATA_DIR to the folder that holds {name}, or run "
            f"""python -c 'from metarec_jax import data; data.TEXT_SETS["{name}"]()' once with network access"""
        )
    texts = data.TEXT_SETS[name]()
    assert (len(texts.texts), *(len(texts.parts[part]) for part in ("train", "valid", "test"))) == REAL[name]
    assert all(text.strip() for text in texts.texts)


@pytest.fixture
def toy(monkeypatch, tmp_path) -> Texts:
    """Three classes of two texts."""
    monkeypatch.setitem(download.SPECS, "toy", dataclasses.replace(download.SPECS["huffpost"], counts={}))
    pairs = [("red red door", "a"), ("Blue door", "a"), ("green hat", "b"), ("red hat", "b"), ("grün", "c"), ("", "c")]
    parts = {"train": np.array([0]), "valid": np.array([1]), "test": np.array([2])}
    return build("toy", pairs, ["a", "b", "c"], parts, tmp_path)


def test_ngrams_are_weighted_by_the_training_classes_alone(toy):
    """With one n-gram a word: idf is log(3 / (df + 1)) of the two training texts."""
    bag = hashed_ngrams(toy, width=1 << 16).x
    assert isinstance(bag, Bag) and bag.column.shape == bag.weight.shape == (6, text_features.MOST)
    np.testing.assert_allclose(np.square(bag.weight[:5]).sum(1), 1.0, rtol=1e-5)  # no two n-grams in one column
    assert not bag.weight[5].any()
    row = dict(zip(bag.column[0].tolist(), bag.weight[0].tolist(), strict=True))
    red, _ = text_features.hashed_column("red", 1 << 16)
    pair, _ = text_features.hashed_column("red door", 1 << 16)
    np.testing.assert_allclose(abs(row[red]) / abs(row[pair]), 2.0, rtol=1e-5)  # twice there, in one training text each
    both, _ = text_features.hashed_column("door", 1 << 16)
    assert abs(row.get(both, 0.0)) < 1e-6  # in all training texts: it tells nothing
    changed = toy._replace(texts=[*toy.texts[:4], "red red hat", "red"])
    np.testing.assert_array_equal(hashed_ngrams(changed, width=1 << 16).x.weight[:4], bag.weight[:4])


def test_only_the_weightiest_ngrams_are_kept(toy):
    whole, part = hashed_ngrams(toy, width=1 << 16).x, hashed_ngrams(toy, width=1 << 16, most=3).x
    least = np.abs(part.weight[0]).min() / np.abs(part.weight[0]).max()
    kept = np.sort(np.abs(whole.weight[0]))[-3:]
    np.testing.assert_allclose(least, kept.min() / kept.max(), rtol=1e-5)


def test_bytes_are_those_of_the_lower_case_text(toy):
    x = utf8(toy, 6).x
    assert x.dtype == np.uint8 and bytes(x[1]) == b"blue d" and bytes(x[4]) == "grün".encode() + b"\0"
    assert not x[5].any()


def test_sentence_vectors_are_computed_once(toy, tmp_path):
    calls = []

    def encode(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return np.array([[len(text) + 1.0, 2.0] for text in texts])

    first, again = (sentences(toy, tmp_path / "vectors", encode).x for _ in range(2))
    assert calls == [6] and first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-3)
    sentences(toy._replace(texts=["other", *toy.texts[1:]]), tmp_path / "vectors", encode)
    assert calls == [6, 6]
    with pytest.raises(DataError, match="not a finite row for each of 6 texts"):
        sentences(toy, tmp_path / "third", lambda texts: np.full((6, 2), np.nan))
