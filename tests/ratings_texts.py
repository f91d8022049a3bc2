"""A small ratings file, written where a test wants it, and whether two tables are the same."""

from pathlib import Path

import numpy as np

from metarec_jax.data.table import Ratings

GOOD = "user,item,rating,timestamp\na,x,3.5,10\nb,x,1,9\na,y,2,5\n"


def saved(tmp_path: Path, text: str | bytes, name: str = "ratings.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def assert_same(a: Ratings, b: Ratings) -> None:
    assert a.sha256 == b.sha256
    for field in ("user", "item", "rating", "timestamp", "user_ids", "item_ids"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
