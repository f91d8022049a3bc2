"""Where data sets are looked for, and what is read of them."""

from pathlib import Path

import pytest

from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError

NAME = "ml-latest-small"


FILES = {
    f"{NAME}/ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,4\n",
    f"{NAME}/movies.csv": "movieId,title,genres\n2,Heat (1995),Action\n",
}


def test_data_directory_by_argument_variable_and_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("METAREC_DATA_DIR", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert download.data_root(Path("~/mine")) == tmp_path / "home" / "mine"
    assert download.data_root() == tmp_path / "variable"
    monkeypatch.delenv("METAREC_DATA_DIR")
    assert download.data_root() == tmp_path / "xdg" / "metarec_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download.data_root() == tmp_path / "home" / ".cache" / "metarec_jax"


@pytest.mark.parametrize("variable", ["METAREC_DATA_DIR", "XDG_CACHE_HOME"])
def test_the_home_of_nobody(monkeypatch, variable):
    monkeypatch.delenv("METAREC_DATA_DIR", raising=False)
    monkeypatch.setenv(variable, "~nobody_of_this_name/data")
    with pytest.raises(DataError, match=f"~nobody_of_this_name/data: whose home folder is .*{variable}"):
        download.data_root()


def test_what_a_set_reads(tmp_path):
    folder = tmp_path / "goodbooks-10k"
    folder.mkdir()
    for file in ("ratings.csv", "books.csv", "README"):
        (folder / file).write_text("")
    assert download.files_of("goodbooks-10k", tmp_path) == [folder / "ratings.csv", folder / "books.csv"]
    (folder / "book_genres.csv").write_text("")
    assert download.files_of("goodbooks-10k", tmp_path)[2:] == [folder / "book_genres.csv"]
