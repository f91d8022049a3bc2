"""The interview benchmark from Python, in memory: answers become supports, and what is kept is not chosen again."""

import numpy as np
import polars as pl
import pytest
from helpers import random_table

from metarec_jax import benchmarks
from metarec_jax.benchmarks import Trained
from metarec_jax.benchmarks.interview import WAYS, after_answers, choose, held_out_users
from metarec_jax.recipes import RECIPES
from metarec_jax.tasks.splits import split_users
from metarec_jax.train.store import Store

TABLE = random_table(0, users=80, items=20, least=8, most=14)


def test_supports_are_the_answers_so_far():
    part = split_users(TABLE, seed=0, query=3).test
    users = held_out_users(TABLE, part, any_item=True)
    rng, size = np.random.default_rng(0), len(users.names)
    items = np.array([rng.permutation(TABLE.num_items)[:4] for _ in range(size)], np.int32)
    task, place = np.indices(items.shape).reshape(2, -1)
    columns = {"task": task, "place": place, "index": items.ravel(), "answered": users.known[task, items.ravel()]}
    asked = pl.concat([pl.DataFrame({"way": [way] * len(task)} | columns) for way in WAYS])
    found = after_answers(TABLE, users, asked)
    assert list(found) == [(count, way) for count in range(5) for way in WAYS]
    rated = dict(zip(zip(TABLE.user.tolist(), TABLE.item.tolist(), strict=True), TABLE.rating.tolist(), strict=True))
    sought = TABLE.item[part.query]
    for (count, _), held_out in found.items():
        support = held_out.tasks.support
        for t, user in enumerate(part.users.tolist()):
            real = [k for k in range(4) if support.mask[t, k]]
            may = [k for k in range(count) if (user, items[t, k]) in rated and items[t, k] not in sought[t]]
            assert real == may
            assert [support.y[t, k] for k in real] == [rated[user, int(items[t, k])] for k in real]
        assert held_out.tasks.query is users.query


def test_an_interview_is_a_benchmark_as_others_are():
    benchmark, store = benchmarks.interview(2, shots=(2,), query=3), Store()
    helped = benchmark._replace(recipes=benchmark.recipes | {"melu": RECIPES["melu"].configured(steps=2)})
    ridge = RECIPES["ridge"].configured(steps=2, rank=2)
    result = benchmarks.run(helped, TABLE, [ridge], store=store, progress=False)
    rows = result.content["rows"]
    assert [(row["shots"], row["way"]) for row in rows] == [(k, way) for k in range(3) for way in WAYS]
    assert {row["name"] for row in rows} == {f"ridge, {way}" for way in WAYS}
    assert [row["answers"] for row in rows if row["shots"] == 2] == [2.0] * 4  # they are asked what they know
    assert {row["metrics"]["rmse"]["mean"] for row in rows if row["shots"] == 0} == {rows[0]["metrics"]["rmse"]["mean"]}
    first = {way: row["metrics"]["rmse"]["mean"] for row in rows if (way := row["way"]) and row["shots"] == 2}
    against = next(row["against"] for row in rows if (row["way"], row["shots"]) == ("variance", 2))
    for other, found in against.items():
        assert found["difference"] == pytest.approx(first["variance"] - first[other], abs=1e-6)
    assert set(result.content["curves"]) == {"melu", "ridge"}
    assert store.load("questions.parquet") and store.load("seed_0/questions.parquet")
    store.drop("seed_0/ridge")
    again = benchmarks.run(benchmark, TABLE, [ridge], store=store, progress=False)  # MeLU is not asked again
    assert again.content["rows"] == rows


def test_melu_must_take_one_step():
    fold, users = benchmarks.interview(2).folds(TABLE, 0, Store())[0], None
    with pytest.raises(ValueError, match="inner_steps"):
        choose(fold, users, Trained(None, None, {"inner_steps": 2}), 2)
