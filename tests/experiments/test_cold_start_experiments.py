"""The other questions on cold starts as people meet them: new items, both sides new, warm-up, MeLU's partitions."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers import call

from experiments import both_cold_start, item_cold_start, item_warm_up, melu_partitions
from metarec_jax.benchmarks.melu import absolute_errors
from metarec_jax.report import results

METHODS = ["--baselines=user_mean,bias", "--learners=ridge", "--steps=20"]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory) -> Path:
    """120 users of 70 items, 30 ratings a user, in time order."""
    rng = np.random.default_rng(0)
    quality, path = rng.normal(size=70), tmp_path_factory.mktemp("ratings") / "mine.csv"
    lines = ["user,item,rating,timestamp"]
    for user in range(120):
        for place, item in enumerate(rng.choice(70, 30, replace=False)):
            stars = int(np.clip(np.round(3.4 + quality[item] + rng.normal()), 1, 5))
            lines.append(f"u{user},i{item},{stars},{1000 * user + place}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_item_cold_start_predicts_new_items_for_known_users(ratings, tmp_path, capsys):
    call(item_cold_start, f"--ratings={ratings}", *METHODS, "--shots=0,3", f"--workdir={tmp_path}")
    found = results.read_json(tmp_path / "results.json")
    assert found["experiment"] == "item_cold_start" and found["dataset"]["items"] == 70
    assert {row["name"] for row in found["rows"]} == {"user_mean", "bias", "ridge"}
    split = pl.read_parquet(tmp_path / "seed_0" / "split.parquet")
    training = split.filter(pl.col("role") == "train")
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    assert predictions["item"].str.starts_with("i").all()
    assert not predictions["item"].is_in(training["item"].implode()).any()
    assert predictions["user"].is_in(training["user"].implode()).all()
    known = pl.read_csv(ratings).select("user", "item", pl.col("rating").cast(pl.Float32))
    assert len(predictions.join(known, left_on=["user", "item", "target"], right_on=["user", "item", "rating"])) == len(
        predictions
    )
    mine = results.figures(found, "user_mean", 0, "rmse")["mean"]
    assert results.figures(found, "bias", 3, "rmse")["mean"] < mine  # the item's quality is learnt from its raters
    assert "ridge" in capsys.readouterr().out


def test_both_cold_predicts_new_items_for_new_users(ratings, tmp_path):
    methods = ["--baselines=gp", "--learners=none"]
    call(both_cold_start, f"--ratings={ratings}", *methods, "--shots=0,1", "--query=2", f"--workdir={tmp_path}")
    split = pl.read_parquet(tmp_path / "seed_0" / "split.parquet")
    training = split.filter(pl.col("role") == "train")
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    assert len(predictions) and predictions["prediction"].is_finite().all()
    for column in ("user", "item"):
        assert not predictions[column].is_in(training[column].implode()).any()


def test_warm_up_is_batch_after_batch_in_time(ratings, tmp_path):
    methods = ["--baselines=bias", "--learners=none"]
    call(item_warm_up, f"--ratings={ratings}", *methods, "--feedback=4", f"--workdir={tmp_path}")
    found = results.read_json(tmp_path / "results.json")
    assert results.shots(found) == [0, 4, 8, 12] and found["experiment"] == "item_warm_up"
    split = pl.read_parquet(tmp_path / "seed_0" / "split.parquet").filter(pl.col("role").str.starts_with("test"))
    for _, task in split.group_by("item"):
        support, query = (task.filter(pl.col("role") == f"test_{kind}")["timestamp"] for kind in ("support", "query"))
        assert support.max() <= query.min()
    with pytest.raises(SystemExit, match="Unknown command line flag 'shots'"):
        call(item_warm_up, f"--ratings={ratings}", "--shots=0,4")


def test_melu_partitions_are_four_runs_and_one_summary(ratings, tmp_path, capsys):
    numbers = {"users": range(120), "items": range(70)}
    content = {
        f"{kind}_{side}": [f"{side[0]}{n}" for n in several if (n % 2 == 0) == (kind == "cold")]
        for side, several in numbers.items()
        for kind in ("warm", "cold")
    }
    (tmp_path / "split.json").write_text(json.dumps(content))
    arguments = [f"--ratings={ratings}", f"--partition={tmp_path / 'split.json'}", "--baselines=user_mean,bias"]
    arguments += ["--learners=none", "--query=2", f"--workdir={tmp_path / 'work'}"]
    call(melu_partitions, *arguments)
    text = (tmp_path / "work" / "summary.txt").read_text()
    assert text in capsys.readouterr().out and text.count("bias") == 2 and "MeLU, published" in text
    assert len(list((tmp_path / "work").glob("*/report.html"))) == 4
    part = tmp_path / "work" / "0_warm_users_warm_items"
    frame = pl.read_parquet(part / "predictions.parquet").filter(pl.col("name") == "bias")
    error = results.figures(results.read_json(part / "results.json"), "bias", "all", "mae")["mean"]
    assert absolute_errors(frame)["bias"].mean == pytest.approx(error, abs=1e-5)
    rounded = np.abs(np.clip(np.round(frame["prediction"]), 1, 5) - frame["target"].to_numpy()).mean()
    levels = np.arange(1.0, 6.0)
    assert absolute_errors(frame, levels)["bias"].mean == pytest.approx(rounded, abs=1e-5)
    before = (part / "results.json").stat().st_mtime_ns
    call(melu_partitions, *arguments)
    assert (part / "results.json").stat().st_mtime_ns == before
    with pytest.raises(SystemExit, match="--partition"):
        call(melu_partitions, f"--ratings={ratings}", "--partition=none.json")
    with pytest.raises(SystemExit, match="Unknown command line flag 'order'"):
        call(melu_partitions, *arguments, "--order=time")  # the partition has its own
