"""MovieTweetings, the 100K snapshot: ratings 0 to 10 that people tweeted from IMDb, 2013, with times.

S. Dooms, T. De Pessemier and L. Martens, "MovieTweetings: a movie rating dataset collected from Twitter", CrowdRec at
RecSys 2013. Most users have few ratings, a realistic cold start. There are no user features; the project's file of
Twitter ids is personal data and is not fetched.

A download is of one commit and its checksums are ours, as none are published. Checked of any copy: 100,000 ratings,
each a whole number from 0 to 10. The numbers of users and films are not checked.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metarec_jax.data.features.content import select_groups
from metarec_jax.data.features.encoders import film_years, multi_hot
from metarec_jax.data.features.titles import sentence_features, title_features
from metarec_jax.data.fetch import download
from metarec_jax.data.io.delimited import read_text
from metarec_jax.data.io.file_table import ratings_frame
from metarec_jax.data.table import Ratings, build

_COLUMNS = {name: name for name in ("user", "item", "rating", "timestamp")}


def load_100k(data_dir: Path | None = None, content: Sequence[str] | None = None) -> Ratings:
    """MovieTweetings 100K.

    Item features: genre and year (the bin of the year in the title) by default, or the groups that `content` names:
    genre, year, title and sentence (`features.titles`).

    Raises:
      DataError: it cannot be found or fetched, is not the whole snapshot, or a line is bad.
    """
    folder = download.locate("movietweetings-100k", data_dir)
    films = read_text(folder / "movies.dat", "::", names=("id", "title", "genres"))
    film_ids, titles = films.ids("id").to_list(), films.column("title").to_list()
    genres = [text.split("|") if text else () for text in films.column("genres")]
    groups = {
        "genre": partial(multi_hot, "genre", genres),
        "year": partial(film_years, titles),
        "title": partial(title_features, titles),
        "sentence": partial(sentence_features, titles),
    }
    table = build(
        folder.name,
        ratings_frame(read_text(folder / "ratings.dat", "::", names=tuple(_COLUMNS)), _COLUMNS),
        source=download.source(folder),
        item_features=(film_ids, select_groups(folder.name, groups, content, ("genre", "year"))),
        item_titles=dict(zip(film_ids, titles, strict=True)),
    )
    download.check_counts(table.name, download.table_counts(table), folder)
    download.check_levels(table, folder, range(11))
    return table
