"""A training over devices and processes, from columns and from a table."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from helpers import call, random_table

from experiments import scale
from metarec_jax.benchmarks.scale import ScaleConfig, run
from metarec_jax.benchmarks.scale_data import Sizes, in_columns
from metarec_jax.data.io.columns import open_columns
from metarec_jax.data.io.convert import write_columns
from metarec_jax.data.synthetic.movielens_like import make_films, make_ratings
from metarec_jax.recipes import RECIPES
from metarec_jax.tasks.splits import split_users
from metarec_jax.train import checkpoint
from metarec_jax.train.sharding import Sharding, ShardingError
from metarec_jax.train.store import FolderStore

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
    todo = in_columns(folder, Sharding(streamed=True), sizes, seed=3, **users)
    train = table.keep_rows(split.train_rows)
    np.testing.assert_array_equal(todo.train.user_ids, train.user_ids)
    np.testing.assert_array_equal(todo.train.rating, train.rating)
    np.testing.assert_array_equal(todo.valid.query.x.id, table.item[split.valid.query])
    np.testing.assert_array_equal(todo.valid.support.x.id, table.item[split.valid.support[:, :10]])
    own = np.arange(len(todo.test.names))
    blocks = [*todo.test.blocks(own, 5)]
    enough = (split.test.support >= 0).sum(1) >= 10
    np.testing.assert_array_equal(todo.test.names, table.user_ids[split.test.users[enough]])
    items = np.concatenate([block.query.x.id for block in blocks])
    np.testing.assert_array_equal(items, table.item[split.test.query[enough]])
    items = np.concatenate([block.support.x.id for block in blocks])
    np.testing.assert_array_equal(items, table.item[split.test.support[enough, :10]])
    assert {len(block.query.mask) for block in blocks[:-1]} == {5}
    fewer = in_columns(folder, Sharding(streamed=True), sizes, seed=3, fitted=7, validated=6)
    assert fewer.train.num_users == 7 and set(fewer.train.user_ids) < set(train.user_ids)
    assert len(fewer.valid.query.y) == 6 and fewer.train.num_items == train.num_items


def start(columns: Path, out: Path, *own: str) -> subprocess.Popen:
    """A process of the script."""
    flags = ["--learner=protonet_levels", "--steps=4", "--every=2", "--batch=8", "--id_tables=rows", f"--out={out}"]
    asks = ["--test=catalogue", "--test_users=9", "--items=300", "--support=5", "--query=5"]
    command = [sys.executable, "-m", "experiments.scale", f"--columns_dir={columns}", *flags, *asks, *own]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_two_processes_train_and_ask_from_columns_as_one_does(folder, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    several = [f"--coordinator={address}", "--processes=2"]
    begun = [start(folder, tmp_path / "one", "--devices=2")]
    begun += [start(folder, tmp_path / "two", *several, f"--process={number}") for number in range(2)]
    for process in begun:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output.decode()
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert one["dataset"] == "ratings.csv" and [step["step"] for step in one["history"]] == [2, 4]
    assert 0.5 < one["best_valid_rmse"] < 2 and (two["processes"], two["devices"]) == (2, 2)
    alone, shared = (checkpoint.arrays(tmp_path / name / "params.msgpack") for name in ("one", "two"))
    assert alone.keys() == shared.keys() and alone
    for name, leaf in alone.items():
        np.testing.assert_allclose(leaf, shared[name], rtol=0, atol=1e-5, err_msg=name)
    assert list(one["test"]) == ["rmse", "ndcg@10", "recall@20", "hit@10", "mrr"]
    for metric, value in one["test"].items():
        assert value["tasks"] + value["undefined"] == 9
        assert value["mean"] == pytest.approx(two["test"][metric]["mean"], rel=1e-4), metric


def test_a_run_that_is_done_is_not_done_again(tmp_path):
    table = random_table(0, users=90, least=6)
    config = ScaleConfig(steps=4, every=2, batch=8, support=2, query=3, test="ratings", test_users=5)
    first, again = (
        run(RECIPES["protonet_levels"], table, config, FolderStore(tmp_path), progress=False) for _ in range(2)
    )
    assert [point["step"] for point in first.results["history"]] == [2, 4] and first.results["resumed_at"] == 0
    assert again.results["history"] == first.results["history"] and again.results["resumed_at"] == 4
    jax.tree.map(np.testing.assert_array_equal, again.params, first.params)
    for found in (first, again):
        rmse = found.results["test"]["rmse"]
        assert rmse["tasks"] == 5 and rmse["low"] <= rmse["mean"] <= rmse["high"]
    assert again.results["test"] == first.results["test"]


def test_tasks_that_are_left_over_are_refused():
    with pytest.raises(ShardingError, match="7 tasks a step"):
        ScaleConfig(batch=7).sharding(streamed=False)


def test_a_learner_from_a_fit_is_refused_because_it_would_be_trained_on_the_users_of_its_fit(tmp_path):
    config = ScaleConfig(steps=2, batch=8, support=2, query=3)
    with pytest.raises(ValueError, match="ridge starts from a Gaussian process.*maml_network"):
        run(RECIPES["ridge"].configured(rank=2), random_table(0, users=40, least=6), config, FolderStore(tmp_path))


MISTAKES = {
    "learner": (["--learner=gp"], ["--learner", "'gp'", "maml"]),
    "row scale of dense tables": (["--row_scale"], ["--row_scale goes with --id_tables"]),
    "users of no test": (["--test_users=3"], ["--test_users goes with --test"]),
    "items of no catalogue": (["--items=3", "--test=ratings"], ["--items goes with --test=catalogue"]),
    "users of no columns": (["--valid_users=3"], ["--valid_users goes with --columns_dir"]),
    "shards of columns": (["--shards=4", "--columns_dir=nowhere"], ["--shards does not go with --columns_dir"]),
    "cluster and address": (["--cluster", "--coordinator=here:1"], ["--cluster asks for what --coordinator says"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_the_remedy(tmp_path, name):
    arguments, words = MISTAKES[name]
    with pytest.raises(SystemExit, match="^error: ") as end:
        call(scale, *arguments, f"--out={tmp_path / 'work'}")
    assert "\n" not in end.value.code and all(word in end.value.code for word in words), end.value.code
    assert not (tmp_path / "work").exists()
