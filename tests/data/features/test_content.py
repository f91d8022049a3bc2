"""Groups of item features: chosen by name, multi-hot creators, and what optional files hold or hold wrongly."""

import dataclasses

import numpy as np
import pytest

from metarec_jax import data
from metarec_jax.data.features.content import creators, poster_features, select_groups, values_in_order
from metarec_jax.data.features.encoders import multi_hot
from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError

GROUPS = {"genre": lambda: multi_hot("genre", ["a", "b"]), "year": lambda: multi_hot("year", ["x", "x"])}


def test_groups_come_in_the_order_asked_for():
    assert select_groups("toy", GROUPS, None, ("genre",)).names == ("genre=a", "genre=b")
    found = select_groups("toy", GROUPS, ("year", "genre"), ("genre",))
    assert found.names == ("year=x", "genre=a", "genre=b")
    np.testing.assert_array_equal(found.values, [[1, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (("plot",), "toy has no item features 'plot'; choose among genre, year"),
        (("year", "year"), "'year' are asked for twice"),
        ((), "toy: no item features are asked for; choose among genre, year"),
    ],
)
def test_wrong_groups_are_refused(content, message):
    with pytest.raises(DataError, match=message):
        select_groups("toy", GROUPS, content, ("genre",))


def test_creators_of_one_item_are_left_out():
    """B is named twice for one item, which does not make two items of it; "" is nobody."""
    found = creators("actor", [["A", "B", "B"], ["A", ""], ["C", ""], ["D", "C"]])
    assert found.names == ("actor=A", "actor=C")
    np.testing.assert_array_equal(found.values, [[1, 0], [1, 0], [0, 1], [0, 1]])


def test_rows_find_their_items(tmp_path):
    assert values_in_order(["7", "2"], ["x", "y"], ["2", "5", "7"], tmp_path) == ["y", "", "x"]
    for ids, message in ((["2", "9"], "row 2: item 9 is not in this data set"), (["2", "2"], "row 2: item 2 is there")):
        with pytest.raises(DataError, match=message):
            values_in_order(ids, ["x", "y"], ["2", "5"], tmp_path)


def posters(tmp_path, **changes):
    """A file of three pictures, in two tables of one and two columns."""
    arrays = {"item_id": np.array([5, 2, 9], np.int16), "pca": np.array([[1.0], [2], [3]], np.float16)}
    arrays |= {"hue": np.array([[0.0, 4], [2, 4], [4, 1]])}
    path = tmp_path / "poster_features.npz"
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return path


def test_posters_are_standardised_over_those_there_are(tmp_path):
    found = poster_features(posters(tmp_path), ["2", "5", "7", "9"])
    assert found.names == ("poster=pca 0", "poster=hue 0", "poster=hue 1")
    assert not found.values[2].any()  # no picture
    there = found.values[[0, 1, 3]]
    np.testing.assert_allclose(there.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(there.std(0), 3**-0.5, rtol=1e-5)
    np.testing.assert_allclose(there[:, 0], np.array([0, -1, 1]) * 1.5**0.5 / 3**0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_id": np.array([5, 2, 4])}, "row 3: item 4 has no item of this data set"),
        ({"item_id": np.array([5, 2, 5])}, "row 3: item 5 is there twice"),
        ({"pca": np.array([[1.0], [np.nan], [2]])}, "row 2: item 2 has a value that is not a finite number"),
        ({"item_id": None}, "needs item_id"),
        ({"item_id": np.array([5.0, 2, 9])}, "needs item_id"),
        ({"pca": np.ones((2, 1))}, r"pca is float64\[2, 1\], not numbers of \[3, columns\]"),
        ({"pca": np.array([["x"], ["y"], ["z"]])}, "pca is <U1"),
        ({"pca": None, "hue": None}, "and a table; it has item_id"),
        ({"pca": np.array([{}], object)}, "cannot be read as .npz"),
    ],
)
def test_bad_poster_files(tmp_path, changes, message):
    path = posters(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as caught:
        poster_features(path, ["2", "5", "7", "9"])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_poster_file_that_is_none(tmp_path):
    path = tmp_path / "poster_features.npz"
    with pytest.raises(DataError, match="posters are looked for in .*poster_features.npz, which does not exist"):
        poster_features(path, ["2"])
    path.write_text("no zip")
    with pytest.raises(DataError, match="cannot be read as .npz"):
        poster_features(path, ["2"])


def real(name: str, file: str, content: tuple[str, ...]):
    path = download.data_root() / name / file
    if not path.is_file():
        pytest.skip(
            f"{path} is missing: set METAREC_DATA_DIR to a folder whose {name} has it; it is not in the archive"
        )
    return data.load(name, content=content)


def test_real_posters():
    table = real("ml-100k", "poster_features.npz", ("genre", "poster"))
    assert dataclasses.replace(table).sha256 == data.load("ml-100k").sha256
    values = table.item_features.values[:, 19:]
    assert values.shape[1] == 64 + 48 and (values != 0).any(1).sum() == 1663


def test_real_creators():
    table = real("ml-1m", "movies_extra.csv", ("director", "actor", "rated"))
    row = table.item_ids.tolist().index("1")
    names = {table.item_features.names[k] for k in np.flatnonzero(table.item_features.values[row])}
    assert {"director=John Lasseter", "actor=Tom Hanks", "rated=G"} <= names
    assert np.isin(table.item_features.values, (0, 1)).all()
