"""goodbooks-10k: ratings 1 to 5 of the 10,000 most popular books on Goodreads, without times.

Z. Zajac, "Goodbooks-10k: a new dataset for book recommendations", FastML, 2017.

Item features by default: genre (if the folder has a book_genres.csv with book_id and comma-separated genres, which the
official repository lacks), language, and year, the bin of the year of first publication. The columns average_rating,
ratings_count, work_ratings_count, work_text_reviews_count and ratings_1 to ratings_5 of books.csv are NEVER used: they
are computed over all users, test users included, so they leak the test ratings.

`content` names other groups: these, author (of two or more books), title (hashed n-grams of it, which include the
series and the volume) and sentence (`features.titles`).

A download is of one commit. Samples of this set are common, so the size of a copy is not checked. Checked: ratings are
1, 2, 3, 4 or 5, and every rated book is listed in books.csv.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metarec_jax.data.features.content import creators, optional_file, select_groups
from metarec_jax.data.features.encoders import binned, multi_hot, one_hot
from metarec_jax.data.features.titles import sentence_features, title_features
from metarec_jax.data.fetch import download
from metarec_jax.data.io.delimited import read_text
from metarec_jax.data.io.file_table import Table, ratings_frame
from metarec_jax.data.table import DataError, Features, Ratings, build

# The frequent shelves that are genres, with other spellings. Shelves such as "to-read" and the general "fiction" (9 of
# 10 books) and "literature" are left out.
_GENRES = {
    "adult-fiction": (), "american-literature": ("american-fiction",), "autobiography": (),
    "biography": ("biography-memoir",), "british-literature": ("english-literature",),
    "children": ("childrens", "children-s", "children-s-books", "childrens-books"), "christian-fiction": (),
    "classics": (), "comics": ("graphic-novels", "graphic-novel"), "contemporary": ("contemporary-fiction",),
    "crime": (), "detective": (), "economics": (), "fairy-tales": (), "fantasy": (), "gothic": (),
    "historical-fiction": ("historic-fiction",), "history": (), "horror": (), "literary-fiction": (),
    "magic": (), "magical-realism": (), "manga": (), "memoir": ("memoirs",), "middle-grade": (),
    "military": (), "mystery": (), "mythology": (), "nonfiction": ("non-fiction",), "paranormal-romance": (),
    "philosophy": (), "poetry": (), "politics": (), "psychology": (), "romance": (),
    "science-fiction": ("sci-fi", "scifi"), "suspense": (), "thriller": ("thrillers",), "war": (),
    "women-s-fiction": ("womens-fiction",), "young-adult": ("ya", "teen"),
}  # fmt: skip
_CANONICAL = {alias: genre for genre, aliases in _GENRES.items() for alias in (genre, *aliases)}
_LANGUAGES = {
    "eng": "English", "en": "English", "en-US": "English", "en-GB": "English", "en-CA": "English",
    "ara": "Arabic", "fre": "French", "ind": "Indonesian", "spa": "Spanish", "ger": "German",
}  # fmt: skip
_YEAR_EDGES = (1900, 1950, 1970, 1980, 1990, 1995, 2000, 2005, 2010, 2015)


def load(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """goodbooks-10k, the full set or a sample of it, with the item features that `content` names.

    Raises:
      DataError: it cannot be found or fetched, has ratings other than 1 to 5, or a line is bad.
    """
    folder = download.locate("goodbooks-10k", data_dir)
    columns = {"user": "user_id", "item": "book_id", "rating": "rating"}
    books = read_text(folder / "books.csv", ",", quotes=True)
    ids = books.ids("book_id").to_list()
    table = build(
        folder.name,
        ratings_frame(read_text(folder / "ratings.csv", ",", quotes=True), columns),
        source=download.source(folder),
        item_features=(ids, _book_features(folder, books, ids, content)),
        item_titles=dict(zip(ids, books.column("title"), strict=True)),
    )
    if unknown := set(table.item_ids) - set(ids):
        raise DataError(
            f"{folder / 'books.csv'}: book {min(unknown)} is rated but not listed; "
            "delete the folder so that it is fetched again."
        )
    download.check_counts(table.name, download.table_counts(table), folder)
    download.check_levels(table, folder, range(1, 6))
    return table


def _book_features(folder: Path, books: Table, ids: list[str], content: Sequence[str] | None) -> Features:
    shelves = folder / "book_genres.csv"
    titles = books.column("title").to_list()
    groups = {
        "genre": partial(_genres, shelves, ids),
        "language": partial(_languages, books),
        "year": partial(_years, books),
        "author": partial(_authors, books),
        "title": partial(title_features, titles),
        "sentence": partial(sentence_features, titles),
    }
    return select_groups(folder.name, groups, content, ("genre",) * shelves.is_file() + ("language", "year"))


def _languages(books: Table) -> Features:
    return one_hot("language", [code and _LANGUAGES.get(code, "other") for code in books.column("language_code")])


def _years(books: Table) -> Features:
    years, edges = books.numbers("original_publication_year", gaps=True).to_list(), _YEAR_EDGES
    return binned("year", years, edges, first=f"before {edges[0]}", last=f"from {edges[-1]}")


def _authors(books: Table) -> Features:
    return creators("author", [[name.strip() for name in text.split(",")] for text in books.column("authors")])


def _genres(path: Path, ids: list[str]) -> Features:
    """The genre columns in the order of `ids`."""
    table = read_text(optional_file(path, "genres"), ",", quotes=True)
    shelves = dict(zip(table.ids("book_id"), table.column("genres"), strict=True))
    genres = [[_CANONICAL.get(shelf, "") for shelf in shelves.get(book, "").split(",")] for book in ids]
    return multi_hot("genre", genres, tuple(_GENRES))  # "" is not a genre and is dropped
