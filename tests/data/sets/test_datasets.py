"""Loaders: hand-worked small sets in every official layout, and the official counts of the real files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from metarec_jax import data
from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError, Ratings

REAL = {  # ratings, users, rated items, user features, item features
    "ml-100k": (100_000, 943, 1_682, 30, 29),
    "ml-1m": (1_000_209, 6_040, 3_706, 30, 29),
    "ml-latest-small": (100_836, 610, 9_724, 0, 33),
    "movietweetings-100k": (100_000, 16_554, 10_506, 0, 38),
}

TINY = {
    "ml-100k": {
        "u.data": "2\t10\t3\t881250949\n1\t10\t5\t881250950\n1\t9\t1\t881250900\n",
        "u.user": "1|17|M|technician|85711\n2|56|F|other|94043\n",
        "u.genre": "unknown|0\nAction|1\nFilm-Noir|2\n\n",
        "u.item": "9|Laura (1944) |01-Jan-1944|||0|0|1\n10|Misérables, Les (1995) (V)|||u|0|1|1\n11|unknown||||1|0|0\n",
    },
    "ml-1m": {
        "ratings.dat": "1::9::5::0\n2::10::3::978302109\n2::9::1::978302108\n",
        "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        "movies.dat": "9::Café (1942): The Return (1979)::Comedy|Drama\n10::Alien::Horror\n",
    },
    "ml-25m": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,9,4.0,964982703\n2,10,0.5,964982704\n",
        "movies.csv": 'movieId,title,genres\n9,"Thing, The (1982)",Horror|Sci-Fi\n10,Nadja,(no genres listed)\n',
    },
    "movietweetings-100k": {
        "ratings.dat": "1::0110912::10::1365029107\n2::1853728::0::1366576639\n",
        "movies.dat": "0110912::Pulp – Fiction (1994)::Crime|Drama\n1853728::Django (2012)::\n",
    },
    "goodbooks-10k": {
        "ratings.csv": "user_id,book_id,rating\n1,2,5\n3,1,4\n",
        "books.csv": "book_id,title,language_code,original_publication_year,average_rating\n"
        '1,"Emma, again",en-GB,1815.0,4.1\n2,Q,,,4.2\n3,Unread,swe,2016.0,1.0\n',
        "book_genres.csv": 'book_id,goodreads_book_id,genres\n1,77,"classics,to-read,scifi,sci-fi"\n',
    },
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A function that writes a small set in its official layout, with changes, and loads it uncounted."""

    def make(name: str, content: tuple[str, ...] | None = None, **changes: str) -> Ratings:
        spec = dataclasses.replace(download.SPECS[name], counts={})
        monkeypatch.setitem(download.SPECS, name, spec)
        (tmp_path / name).mkdir(exist_ok=True)
        encoding = "latin-1" if name in ("ml-100k", "ml-1m") else "utf-8"
        for file, text in (TINY[name] | changes).items():
            (tmp_path / name / file).write_bytes(text.encode(encoding))
        return data.load(name, tmp_path, content)

    return make


def of(features: data.table.Features, row: int) -> set[str]:
    return {features.names[k] for k in np.flatnonzero(features.values[row])}


def test_ml_100k_layout(tiny):
    table = tiny("ml-100k")
    assert table.user_ids.tolist() == ["1", "2"] and table.item_ids.tolist() == ["9", "10"]
    assert table.rating.tolist() == [1, 5, 3]  # in time order within user 1
    assert table.timestamp.tolist() == [881250900, 881250950, 881250949]
    assert of(table.user_features, 0) == {"age=under 18", "gender=M", "occupation=technician"}
    assert of(table.user_features, 1) == {"age=56+", "gender=F", "occupation=other"}
    assert table.item_titles.tolist() == ["Laura (1944)", "Misérables, Les (1995) (V)"]
    assert of(table.item_features, 0) == {"genre=Film-Noir", "year=1940-1949"}
    assert of(table.item_features, 1) == {"genre=Action", "genre=Film-Noir", "year=1995-1999"}


def test_ml_1m_layout(tiny):
    table = tiny("ml-1m")
    assert table.item[table.user == 1].tolist() == [0, 1] and table.timestamp[0] == 0
    assert of(table.user_features, 0) == {"age=under 18", "gender=F", "occupation=K-12 student"}
    assert of(table.user_features, 1) == {"age=56+", "gender=M", "occupation=self-employed"}
    assert table.item_titles.tolist() == ["Café (1942): The Return (1979)", "Alien"]
    assert of(table.item_features, 0) == {"genre=Comedy", "genre=Drama", "year=1970-1979"}
    assert of(table.item_features, 1) == {"genre=Horror"}


def test_csv_layout(tiny):
    table = tiny("ml-25m")
    assert table.levels.tolist() == [0.5, 4] and table.user_features.names == ()
    assert table.item_titles.tolist() == ["Thing, The (1982)", "Nadja"]
    assert of(table.item_features, 0) == {"genre=Horror", "genre=Sci-Fi", "year=1980-1984"}
    assert of(table.item_features, 1) == set()


def test_movietweetings_layout(tiny):
    table = tiny("movietweetings-100k")
    assert table.item_ids.tolist() == ["0110912", "1853728"] and table.rating.tolist() == [10, 0]
    assert table.item_titles[0] == "Pulp – Fiction (1994)"
    assert of(table.item_features, 0) == {"genre=Crime", "genre=Drama", "year=1990-1994"}
    assert of(table.item_features, 1) == {"year=2010-2014"}


def test_goodbooks_layout(tiny):
    table = tiny("goodbooks-10k")
    assert table.timestamp is None and table.user_ids.tolist() == ["1", "3"]
    assert table.item_titles.tolist() == ["Emma, again", "Q"]
    assert of(table.item_features, 0) == {
        "genre=classics", "genre=science-fiction", "language=English", "year=before 1900"
    }  # fmt: skip
    assert of(table.item_features, 1) == set()


def test_goodbooks_ignores_what_was_counted_over_all_ratings(tiny):
    before = tiny("goodbooks-10k").item_features
    books = TINY["goodbooks-10k"]["books.csv"].replace("4.1", "1.0").replace("4.2", "5.0")
    after = tiny("goodbooks-10k", **{"books.csv": books}).item_features
    assert before.names == after.names and np.array_equal(before.values, after.values)
    assert {name.partition("=")[0] for name in before.names} == {"genre", "language", "year"}


def test_goodbooks_does_without_genres(tiny, tmp_path):
    tiny("goodbooks-10k")
    (tmp_path / "goodbooks-10k" / "book_genres.csv").unlink()
    names = data.load("goodbooks-10k", tmp_path).item_features.names
    assert {name.partition("=")[0] for name in names} == {"language", "year"}


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("ml-100k", "u.data", "1\t2\t3\n", "u.data: line 1 has 3 fields where 4 are expected"),
        ("ml-100k", "u.data", "1\t2\t3\t4\nuser\titem\t3\tx\n", "u.data: line 2: timestamp 'x'"),
        ("ml-100k", "u.user", "1|old|M|other|1\n", "u.user: line 1: age 'old' is not a number"),
        ("ml-100k", "u.item", "9|Laura|0|1\n", "u.item: line 1 has 4 fields where 8 are expected"),
        ("ml-1m", "ratings.dat", "1::2::3::4\n1::5::x::4\n", "ratings.dat: line 2: rating 'x'"),
        ("ml-1m", "users.dat", "1::F::1::21::48067\n", "users.dat: occupation 21 is not one of"),
        ("ml-25m", "ratings.csv", "userId,movieId,rating\n1,2,3\n", "ratings.csv: no column 'timestamp'"),
        ("ml-25m", "movies.csv", "", "movies.csv: the file is empty"),
        ("movietweetings-100k", "ratings.dat", "1::2::11::3\n", "rating 11 where .* has 0 to 10"),
        ("goodbooks-10k", "ratings.csv", "user_id,book_id,rating\n1,1,4.5\n", "rating 4.5 where .* 1 to 5"),
        ("goodbooks-10k", "ratings.csv", "user_id,book_id,rating\n1,8,4\n", "book 8 is rated but not listed"),
    ],
)
def test_bad_official_files(tiny, name, file, text, message):
    with pytest.raises(DataError, match=message) as caught:
        tiny(name, **{file: text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["ratings", "users", "rated items"])
def test_edited_copies_are_refused(tiny, tmp_path, monkeypatch, what):
    tiny("ml-1m")
    spec = download.SPECS["ml-1m"]
    right = dataclasses.replace(spec, counts={"ratings": 3, "users": 2, "rated items": 2})
    monkeypatch.setitem(download.SPECS, "ml-1m", right)
    data.load("ml-1m", tmp_path)
    monkeypatch.setitem(download.SPECS, "ml-1m", dataclasses.replace(right, counts={**right.counts, what: 7}))
    with pytest.raises(DataError, match=rf"{what} where ml-1m has 7: an edited or truncated copy; delete"):
        data.load("ml-1m", tmp_path)


def test_unknown_name_lists_the_choices():
    with pytest.raises(DataError, match="unknown data set 'ml-10m'; choose one of ml-100k, ml-1m, ml-latest"):
        data.load("ml-10m")


def test_every_data_set_has_a_source():
    fetched = data.DATASETS.keys() | data.CLASS_SETS.keys() | data.TEXT_SETS.keys()
    assert fetched - {"glyphs"} == download.SPECS.keys()


def real(name: str) -> Ratings:
    folder: Path = download.data_root() / name
    if not folder.is_dir():
        pytest.skip(
            f"{folder} is missing: set METAREC_DATA_DIR to the folder that holds {name}, or run "
            f"""python -c 'from metarec_jax import data; data.load("{name}")' once with network access"""
        )
    return data.load(name)


@pytest.mark.parametrize("name", REAL)
def test_official_files(name):
    table = real(name)
    assert (
        len(table.rating),
        table.num_users,
        table.num_items,
        table.user_features.values.shape[1],
        table.item_features.values.shape[1],
    ) == REAL[name]
    assert np.isin(table.item_features.values, (0, 1)).all()
    for group in ("age", "gender", "occupation") if table.user_features.names else ():
        columns = [k for k, n in enumerate(table.user_features.names) if n.startswith(f"{group}=")]
        assert (table.user_features.values[:, columns].sum(1) == 1).all()


def test_official_ml_100k_in_detail():
    table = real("ml-100k")
    assert table.sha256 == ("25c1d07662103168859b8660eef86422d6c8413732243e6f4608f32c48f04690")
    assert table.item_titles[[0, 542]].tolist() == ["Toy Story (1995)", "Misérables, Les (1995)"]
    assert of(table.item_features, 0) == {
        "genre=Animation", "genre=Children's", "genre=Comedy", "year=1995-1999"
    }  # fmt: skip


def test_goodbooks_files():
    table = real("goodbooks-10k")
    assert table.levels.tolist() == [1, 2, 3, 4, 5] and table.num_items <= 10_000
    assert not any("rating" in name or "count" in name for name in table.item_features.names)


def test_ml_1m_has_more_by_content(tiny):
    extra = (
        "movie_id,year,rated,genres,directors,actors\n"
        "10,1979,R,Horror,Ridley Scott,Tom Skerritt|Sigourney Weaver\n9,1942,,Drama,Ridley Scott|Other,Tom Skerritt\n"
    )
    content = ("rated", "director", "actor", "title")
    table = tiny("ml-1m", content, **{"movies_extra.csv": extra})
    shared = {"director=Ridley Scott", "actor=Tom Skerritt"}
    assert of(table.item_features, 0) == shared
    assert of(table.item_features, 1) == shared | {"rated=R"}
    assert sum(name.startswith("title=") for name in table.item_features.names) == 256
    for bad, message in (("11,,,,,\n", "row 3: item 11 is not in this"), ("9,,,,,\n", "row 3: item 9 is there twice")):
        with pytest.raises(DataError, match=f"movies_extra.csv: {message}"):
            tiny("ml-1m", content, **{"movies_extra.csv": extra + bad})


def test_extra_files_are_missed_only_when_they_are_asked_for(tiny):
    tiny("ml-1m", ("genre", "title"))
    with pytest.raises(DataError, match="ratings are looked for in .*movies_extra.csv, which does not exist"):
        tiny("ml-1m", ("actor",))
    with pytest.raises(DataError, match="posters are looked for in .*poster_features.npz"):
        tiny("ml-100k", ("poster",))
    with pytest.raises(DataError, match="ml-25m has no item features 'poster'; choose among genre, year, title, sent"):
        tiny("ml-25m", ("poster",))


def test_goodbooks_has_more_by_content(tiny):
    books = TINY["goodbooks-10k"]["books.csv"].replace("average_rating\n", "average_rating,authors\n")
    books = (
        books.replace("4.1\n", '4.1,"J. Austen, X"\n').replace("4.2\n", "4.2,J. Austen\n").replace("1.0\n", "1.0,Y\n")
    )
    table = tiny("goodbooks-10k", ("author", "year"), **{"books.csv": books})
    assert of(table.item_features, 0) == {"author=J. Austen", "year=before 1900"}
    assert of(table.item_features, 1) == {"author=J. Austen"}
