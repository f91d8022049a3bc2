"""MovieLens: 100K, 1M, and the csv layout of latest-small, 25M and 32M.

F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015. Ratings are stars: 1
to 5, with half stars in the csv sets. The numbers of ratings, users and rated films are compared with the official
ones, because many copies on the web are edited. In some copies of 1M a timestamp of 0 means "unknown"; it stays 0.

Item features by default: genre and year (the bin of the year in the title). The argument `content` of a loader names
other groups: these, title (hashed n-grams of it) and sentence (`features.titles`). Two sets have more groups, from
files that are not in the archives: poster (100K: poster_features.npz, see `content.poster_features`), and director,
actor and rated (1M: movies_extra.csv with columns movie_id; directors and actors, names separated by "|"; and rated,
for example PG-13).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metarec_jax.data.features.content import (
    Groups,
    creators,
    optional_file,
    poster_features,
    select_groups,
    values_in_order,
)
from metarec_jax.data.features.encoders import ages, film_years, joined, multi_hot, one_hot
from metarec_jax.data.features.titles import sentence_features, title_features
from metarec_jax.data.fetch import download
from metarec_jax.data.io.delimited import read_text
from metarec_jax.data.io.file_table import Table, ratings_frame
from metarec_jax.data.table import DataError, Features, Ratings, build

_COLUMNS = {name: name for name in ("user", "item", "rating", "timestamp")}
_CSV_COLUMNS = {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "timestamp"}
_OCCUPATIONS_1M = (  # the codes 0 to 20 of the README
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer",
    "programmer", "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer",
    "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip


def load_100k(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """MovieLens-100K: 100,000 ratings of 943 users on 1,682 films, with times.

    Users: age bucket, gender, occupation. Items: 19 genres, bin of the year in the title; more by `content`.

    Raises:
      DataError: it cannot be found or fetched, is not the official set, or a line is bad.
    """
    folder = download.locate("ml-100k", data_dir)
    genres = _latin(folder / "u.genre", "|", ("genre", "number")).ids("genre").to_list()
    about = ("id", "title", "released", "video", "url")
    films = _latin(folder / "u.item", "|", (*about, *genres))
    flags = films.frame.select(genres).rows()
    film_ids = films.ids("id").to_list()
    return _table(
        folder,
        _latin(folder / "u.data", "\t", tuple(_COLUMNS)),
        _COLUMNS,
        people=_latin(folder / "u.user", "|", ("id", "age", "gender", "occupation", "zip")),
        film_ids=film_ids,
        titles=films.column("title").to_list(),
        genres=[[g for g, flag in zip(genres, row, strict=True) if flag == "1"] for row in flags],
        content=content,
        more={"poster": partial(poster_features, folder / "poster_features.npz", film_ids)},
    )


def load_1m(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """MovieLens-1M: 1,000,209 ratings of 6,040 users on 3,706 films, with times.

    Users: age bucket, gender, occupation. Items: 18 genres, bin of the year in the title; more by `content`.

    Raises:
      DataError: it cannot be found or fetched, is not the official set, or a line is bad.
    """
    folder = download.locate("ml-1m", data_dir)
    films = _latin(folder / "movies.dat", "::", ("id", "title", "genres"))
    film_ids = films.ids("id").to_list()
    return _table(
        folder,
        _latin(folder / "ratings.dat", "::", tuple(_COLUMNS)),
        _COLUMNS,
        people=_latin(folder / "users.dat", "::", ("id", "gender", "age", "occupation", "zip")),
        film_ids=film_ids,
        titles=films.column("title").to_list(),
        genres=[text.split("|") for text in films.column("genres")],
        content=content,
        more=_extra(folder / "movies_extra.csv", film_ids),
    )


def load_latest_small(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """MovieLens latest-small (2018): 100,836 ratings of 610 users on 9,724 films. See `load_csv`."""
    return load_csv("ml-latest-small", data_dir, content)


def load_25m(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """MovieLens-25M: 25,000,095 ratings of 162,541 users. See `load_csv`."""
    return load_csv("ml-25m", data_dir, content)


def load_32m(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """MovieLens-32M: 32,000,204 ratings of 200,948 users. See `load_csv`."""
    return load_csv("ml-32m", data_dir, content)


def load_csv(name: str, data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """A set with ratings.csv and movies.csv, with times.

    Users have no features. Item features: genres, bin of the year in the title; more by `content`.

    Raises:
      DataError: it cannot be found or fetched, is not the official set, or a line is bad.
    """
    folder = download.locate(name, data_dir)
    film_ids, titles, genres = _films(folder / "movies.csv")
    return _table(
        folder,
        read_text(folder / "ratings.csv", ",", quotes=True),
        _CSV_COLUMNS,
        film_ids=film_ids,
        titles=titles,
        genres=genres,
        content=content,
    )


def film_features(path: Path) -> tuple[list[str], Features]:
    """Raw ids of the films of a movies.csv, and their genres and years.

    Raises:
      DataError: it cannot be read.
    """
    film_ids, titles, genres = _films(path)
    return film_ids, joined(multi_hot("genre", genres), film_years(titles))


def _films(path: Path) -> tuple[list[str], list[str], list[Sequence[str]]]:
    """Ids, titles and genres of a movies.csv."""
    films = read_text(path, ",", quotes=True)
    genres = [() if text.startswith("(no") else text.split("|") for text in films.column("genres")]
    return films.ids("movieId").to_list(), films.column("title").to_list(), genres


def _latin(path: Path, separator: str, names: tuple[str, ...]) -> Table:
    return read_text(path, separator, names=names, encoding="latin-1")


def _table(
    folder: Path,
    ratings: Table,
    columns: dict[str, str],
    *,
    people: Table | None = None,
    film_ids: list[str],
    titles: list[str],
    genres: Sequence[Sequence[str]],
    content: Sequence[str] | None,
    more: Groups | None = None,
) -> Ratings:
    """Build the table of the set in `folder` and check its counts; `more` are groups that only this set has."""
    groups = {
        "genre": partial(multi_hot, "genre", genres),
        "year": partial(film_years, titles),
        "title": partial(title_features, titles),
        "sentence": partial(sentence_features, titles),
    }
    features = select_groups(folder.name, groups | (more or {}), content, ("genre", "year"))
    table = build(
        folder.name,
        ratings_frame(ratings, columns),
        source=download.source(folder),
        user_features=None if people is None else (people.ids("id").to_list(), _people_features(people)),
        item_features=(film_ids, features),
        item_titles=dict(zip(film_ids, titles, strict=True)),
    )
    download.check_counts(table.name, download.table_counts(table), folder)
    return table


def _extra(path: Path, film_ids: list[str]) -> Groups:
    """The groups of a movies_extra.csv, which is read only when one of them is used."""

    def column(name: str) -> list[str]:
        table = read_text(optional_file(path, "directors, actors and ratings"), ",", quotes=True)
        return values_in_order(table.ids("movie_id").to_list(), table.column(name).to_list(), film_ids, path)

    def people(group: str, name: str) -> Features:
        return creators(group, [text.split("|") for text in column(name)])

    return {
        "director": partial(people, "director", "directors"),
        "actor": partial(people, "actor", "actors"),
        "rated": lambda: one_hot("rated", column("rated")),
    }


def _people_features(people: Table) -> Features:
    occupations = people.column("occupation").to_list()
    if all(code.isascii() and code.isdigit() for code in occupations):
        occupations = [_occupation(code, people.path) for code in occupations]
    return joined(
        ages(people.numbers("age").to_list()),
        one_hot("gender", people.column("gender").to_list()),
        one_hot("occupation", occupations),
    )


def _occupation(code: str, path: Path) -> str:
    if len(code) > 2 or int(code) >= len(_OCCUPATIONS_1M):
        raise DataError(f"{path}: occupation {code} is not one of the codes 0 to 20; fetch the file again.")
    return _OCCUPATIONS_1M[int(code)]
