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


def test_a_log_of_which_a_kill_left_any_part_is_gone_on_from(tmp_path):
    records = [{"seed": 0, "name": "maml", "step": step, "loss": 0.5, "seconds": 1.5} for step in (1, 2)]
    whole = FolderStore(tmp_path / "whole")
    whole.folder.mkdir()
    for record in records:
        whole.log(record)
    content = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    for length in range(len(content)):
        (tmp_path / "metrics.jsonl").write_bytes(content[:length])
        store = FolderStore(tmp_path)
        assert store.records == records[: len(store.records)]
        store.rewind(0, "maml", 1)
        store.log(records[1])
        lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        assert lines == content.splitlines(keepends=True)[-len(lines) :]
