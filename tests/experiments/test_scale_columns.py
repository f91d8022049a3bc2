"""`experiments/scale.py` from columns: the split of a table, and a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from experiments.common.scale import Sizes, in_columns
from metarec_jax.chunks import Spread
from metarec_jax.data.columns import open_columns
from metarec_jax.data.convert import write_columns
from metarec_jax.data.made_up import make_films, make_ratings
from metarec_jax.tasks.user_cold_start import split_users

ROOT = Path(__file__).parent.parent.parent
NAMES = {"user": "userId", "item": "movieId"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scale")
    pl.concat(make_ratings(0, make_films(0, 1000), users=200, ratings=6000)).write_csv(path / "ratings.csv")
    write_columns(path / "ratings.csv", path / "columns", NAMES)
    return path / "columns"


def test_columns_are_split_as_a_table_is(folder):
    columns = open_columns(folder)
    table = columns.table(np.arange(200))
    split = split_users(table, seed=3, query=5)
    sizes, users = Sizes(batch=8, support=10, query=5, length=2), {"fitted": 10_000, "validated": 10_000}
    todo = in_columns(folder, Spread(streamed=True), sizes, seed=3, **users)
    train = table.keep_rows(split.train_rows)
    np.testing.assert_array_equal(todo.train.user_ids, train.user_ids)
    np.testing.assert_array_equal(todo.train.rating, train.rating)
    np.testing.assert_array_equal(todo.valid.query.x.id, table.item[split.valid.query])
    np.testing.assert_array_equal(todo.valid.support.x.id, table.item[split.valid.support[:, :10]])
    fewer = in_columns(folder, Spread(streamed=True), sizes, seed=3, fitted=7, validated=6)
    assert fewer.train.num_users == 7 and set(fewer.train.user_ids) < set(train.user_ids)
    assert len(fewer.valid.query.y) == 6 and fewer.train.num_items == train.num_items


def test_it_trains_from_columns(folder, tmp_path):
    """In a process of its own, as others have flags of the same names."""
    flags = ["--learner=protonet", "--steps=4", "--every=2", "--batch=8", "--id_tables=rows", f"--out={tmp_path}"]
    command = [sys.executable, "-m", "experiments.scale", f"--columns={folder}", *flags]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["dataset"] == "ratings.csv" and [step["step"] for step in results["history"]] == [2, 4]
    assert 0.5 < results["best_valid_rmse"] < 2
