"""MeLU's partitions: who is asked, what is learnt from, and what a wrong file is told."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import random_table

from metarec_jax.data.table import DataError
from metarec_jax.tasks.melu_split import LEAST, MOST, PARTITIONS, read_cold, split_partition

TABLE = random_table(0, users=300, items=120, least=30, most=60)


def lists() -> dict[str, list[str]]:
    number = {side: [int(raw[1:]) for raw in ids] for side, ids in (("u", TABLE.user_ids), ("i", TABLE.item_ids))}
    return {
        "warm_users": [f"u{n}" for n in number["u"] if n % 5],
        "cold_users": [f"u{n}" for n in number["u"] if n % 5 == 0],
        "warm_items": [f"i{n}" for n in number["i"] if n % 2],
        "cold_items": [f"i{n}" for n in number["i"] if n % 2 == 0],
    }


def write(folder: Path, content) -> Path:
    path = folder / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", PARTITIONS)
def test_a_partition_is_what_its_name_says(tmp_path, name):
    partition, cold = PARTITIONS[name], read_cold(write(tmp_path, lists()), TABLE)
    assert cold.users.sum() == 60 and cold.items.sum() == 60
    split = split_partition(TABLE, cold, partition, seed=0, query=5)
    rows = np.concatenate([split.test.support.ravel(), split.test.query.ravel()])
    rows = rows[rows >= 0]
    assert (cold.users[TABLE.user[rows]] == partition.cold_users).all()
    assert (cold.items[TABLE.item[rows]] == partition.cold_items).all()
    sizes = (split.test.support >= 0).sum(1) + split.test.query.shape[1]
    assert sizes.min() >= LEAST and sizes.max() <= MOST
    train = split.train_rows
    assert not cold.users[TABLE.user[train]].any() and not cold.items[TABLE.item[train]].any()
    assert not np.isin(split.test.query, train).any()
    shown = np.isin(split.test.support[split.test.support >= 0], train)
    assert shown.all() if name == "warm users, warm items" else not shown.any()
    valid = split.valid.query.ravel()
    assert not np.isin(TABLE.user[valid], TABLE.user[train]).any() and not cold.users[TABLE.user[valid]].any()
    assert np.isin(TABLE.item[valid], TABLE.item[train]).any() != partition.cold_items


WRONG = {
    "no json": ("[", "not four lists"),
    "a list is missing": ({key: [] for key in list(lists())[:3]}, "cold_items"),
    "somebody is missing": (lists() | {"warm_users": []}, "neither list of users"),
    "something is in both": (
        lists() | {"cold_items": lists()["warm_items"] + lists()["cold_items"]},
        "both lists of items",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_line(tmp_path, name):
    content, words = WRONG[name]
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=words) as error:
        read_cold(path, TABLE)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="--partition"):
        read_cold(tmp_path / "none.json", TABLE)
