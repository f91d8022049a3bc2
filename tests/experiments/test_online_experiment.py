"""Online adaptation as people meet it, on a small table."""

import numpy as np
import polars as pl
import pytest
from helpers import call, write_ratings

from experiments import online
from metarec_jax.benchmarks.online import FRACTIONS
from metarec_jax.report import results


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("online")
    write_ratings(folder / "mine.csv")
    arguments = [f"--ratings={folder / 'mine.csv'}", "--positions=8", "--shots=0,2", "--query=3", "--steps=4"]
    arguments += ["--learners=protonet_levels,maml", "--baselines=bias", f"--workdir={folder / 'work'}"]
    call(online, *arguments)
    return folder, arguments


def test_columns_are_positions(followed):
    found = results.read_json(followed[0] / "work" / "results.json")
    rows = pl.read_parquet(followed[0] / "work" / "predictions.parquet")
    assert {row["name"] for row in found["rows"]} == {"bias", "protonet_levels", "maml"}
    for row in found["rows"]:
        assert "adaptation" not in row  # other ratings at every position
        first, end = {0: (0, 1), 1: (1, 5), 5: (5, 8), "all": (0, 8)}[row["shots"]]
        part = rows.filter(pl.col("name") == row["name"], pl.col("shots") == str(row["shots"]))
        assert part.group_by("user").len()["len"].max() == end - first  # the users have 6 ratings at least
        squares = part.with_columns(error=(pl.col("target") - pl.col("prediction")) ** 2)
        expected = np.sqrt(squares.group_by("user").agg(pl.col("error").mean())["error"].mean())
        assert row["metrics"]["rmse"]["mean"] == pytest.approx(expected, rel=1e-5)


def test_the_way_of_taking_ratings_in_is_told(followed):
    found = results.read_json(followed[0] / "work" / "results.json")
    way = {row["name"]: row["settings"]["adaptation"] for row in found["rows"]}
    assert way["bias"] == "again"
    assert way["maml"] == "again"
    assert way["protonet_levels"] in {f"fraction {fraction:g}" for fraction in FRACTIONS}


def test_a_second_run_shows_what_the_first_found(followed, capsys):
    before = (followed[0] / "work" / "results.json").read_bytes()
    call(online, *followed[1])
    assert "done already" in capsys.readouterr().out
    assert (followed[0] / "work" / "results.json").read_bytes() == before
