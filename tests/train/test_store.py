"""Frames in a store: kept in memory or in a folder, and said to be damaged where they are."""

import polars as pl
import pytest

from metarec_jax.train.store import FolderStore, Store, StoreError


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_frames_come_back_or_say_what_is_wrong(kind, tmp_path):
    store = Store() if kind == "memory" else FolderStore(tmp_path)
    frame = pl.DataFrame({"name": ["a", "b"], "value": [0.1, float("nan")]})
    store.save_frame("seed_0/values.parquet", frame)
    assert store.load_frame("seed_0/values.parquet", "").equals(frame)
    for content in (None, b"", b"PAR1 torn"):
        if content is not None:
            store.save("seed_0/other.parquet", content)
        with pytest.raises(StoreError, match=r"seed_0/other.parquet is damaged; delete it\."):
            store.load_frame("seed_0/other.parquet", "delete it.")
