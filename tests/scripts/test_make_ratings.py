"""scripts/make_ratings.py: several blocks in one file."""

import polars as pl

from scripts import make_ratings


def test_the_file_has_one_header_with_and_without_a_terminal(tmp_path, monkeypatch):
    blocks = [pl.DataFrame({"userId": [user], "rating": [4.5]}) for user in range(3)]
    monkeypatch.setattr(make_ratings, "make_ratings", lambda *_, **__: blocks)
    make_ratings.write(tmp_path, 0, users=3, items=20, ratings=3)
    assert (tmp_path / "ratings.csv").read_text().splitlines() == ["userId,rating", "0,4.5", "1,4.5", "2,4.5"]
