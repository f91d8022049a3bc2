"""The user cold-start experiment as people meet it: a whole run, its figures again, kills, repeats and bad input.

One small run of four learners is shared by these tests, and two kills on the way to another one must lead to the same
bytes. Kills need a process of their own; the rest runs here, with the flags parsed anew.
"""

import itertools
import json
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from helpers import write_ratings
from plain_metrics import plain_metrics
from user_cold_start_runs import everything_below, start

from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.recipes import RECIPES, classical
from metarec_jax.report import results
from metarec_jax.tasks.split_file import read_split
from metarec_jax.types import Baseline

SHOTS, QUERY, STEPS = (0, 2, 4), 3, 40


SMALL = ["--shots=0,2,4", f"--query={QUERY}", f"--steps={STEPS}"]


BASELINE_NAMES = ["item_mean", "popularity"]  # one predicts ratings, the other scores


LEARNER_NAMES = ["protonet", "maml", "ridge", "cnp"]  # one of each family


class Finished(NamedTuple):
    """A complete run."""

    folder: Path
    ratings: Path
    arguments: list[str]
    output: str

    @property
    def results(self):
        return results.read_json(self.folder / "results.json")

    @property
    def predictions(self):
        return pl.read_parquet(self.folder / "predictions.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    base = tmp_path_factory.mktemp("experiment")
    write_ratings(base / "mine.csv")
    arguments = [f"--ratings={base / 'mine.csv'}", f"--baselines={','.join(BASELINE_NAMES)}", *SMALL]
    arguments += [f"--learners={','.join(LEARNER_NAMES)}", "--set=maml.inner_lr=0.1"]
    folder = base / "work"
    process = start(*arguments, f"--workdir={folder}")
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return Finished(folder, base / "mine.csv", arguments, output)


def test_results_follow_the_schema_and_say_what_was_run(finished):
    found, ratings = finished.results, read_ratings(finished.ratings)
    names = [*BASELINE_NAMES, *LEARNER_NAMES]
    assert {(row["name"], row["shots"]) for row in found["rows"]} == set(itertools.product(names, SHOTS))
    assert found["dataset"]["sha256"] == ratings.sha256 and found["dataset"]["ratings"] == len(ratings.rating)
    split = read_split(finished.folder / "seed_0" / "split.parquet", ratings)
    assert found["split"]["sha256"] == split.sha256 and found["seeds"] == [0]
    assert found["split"]["test_tasks"] == len(split.test.users)
    assert found["split"]["valid_tasks"] == len(split.valid.users)
    assert found["split"]["train_tasks"] == len(np.unique(ratings.user[split.train_rows]))
    assert set(found["curves"]) == set(LEARNER_NAMES)
    for curve in found["curves"].values():
        steps = [point["step"] for point in curve]
        assert steps == sorted(set(steps)) and steps[-1] <= STEPS
        assert all(np.isfinite([point["loss"], point["valid_rmse"], point["seconds"]]).all() for point in curve)
    settings = {row["name"]: row["settings"] for row in found["rows"] if row["shots"] == 4}
    assert settings["maml"]["inner_lr"] == 0.1 and settings["maml"]["steps"] == STEPS
    assert {*names, "total"} <= set(found["timing"])
    assert (finished.folder / "report.html").read_text().count("maml") > 3
    assert (finished.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    for name in names:
        assert name in finished.output


def test_predictions_are_of_the_same_hidden_ratings_for_every_method_and_k(finished):
    ratings = read_ratings(finished.ratings)
    split = pl.read_parquet(finished.folder / "seed_0" / "split.parquet")
    hidden = split.filter(pl.col("role") == "test_query").select("user", "item", "rating").sort("user", "item")
    known = pl.DataFrame(
        {"user": ratings.user_ids[ratings.user], "item": ratings.item_ids[ratings.item], "rating": ratings.rating}
    )
    assert len(hidden.join(known, on=["user", "item", "rating"])) == len(hidden)
    enough = split.filter(pl.col("role") == "test_support").group_by("user").len()
    for (_, k), frame in finished.predictions.group_by("name", "shots"):
        users = enough.filter(pl.col("len") >= int(k))["user"]
        expected = hidden.filter(pl.col("user").is_in(users.implode()))
        found = frame.select("user", "item", rating="target").sort("user", "item")
        assert found.equals(expected)
        assert frame["prediction"].is_finite().all()


def test_each_prediction_stands_beside_its_own_user_and_item(finished, run, monkeypatch):
    """A method that predicts the item's number plus 1000 times the sum of the support ratings leaves tracks."""
    tracer = Baseline(
        lambda train: {},
        lambda params, support: jnp.sum(support.y * support.mask),
        lambda total, x: x.id + 1000 * total,
        output="score",  # ratings would come in standard units
    )
    monkeypatch.setitem(RECIPES, "constant", classical(tracer, [{}])._replace(name="constant"))
    arguments = [f"--ratings={finished.ratings}", "--learners=none", "--baselines=constant", "--query=3"]
    code, _, error = run(*arguments, "--shots=0,2,4,all", "--workdir=tracks")
    assert code == 0, error
    number = {item: index for index, item in enumerate(read_ratings(finished.ratings).item_ids)}
    split = pl.read_parquet("tracks/seed_0/split.parquet").filter(pl.col("role") == "test_support")
    revealed = {user: part["rating"].to_list() for (user,), part in split.group_by("user", maintain_order=True)}
    frame = pl.read_parquet("tracks/predictions.parquet")
    assert set(frame["shots"]) == {"0", "2", "4", "all"}
    for k, user, item, prediction in frame.select("shots", "user", "item", "prediction").iter_rows():
        support = revealed[user] if k == "all" else revealed[user][: int(k)]
        assert prediction == number[item] + 1000 * sum(support)


def test_every_figure_can_be_worked_out_again_from_the_predictions(finished):
    found = finished.results
    plain = {
        (name, int(k)): plain_metrics(frame.sort("task", "item"))
        for (name, k), frame in finished.predictions.group_by("name", "shots")
    }
    for row in found["rows"]:
        values = plain[row["name"], row["shots"]]
        assert set(row["metrics"]) == set(values)
        for metric, figure in row["metrics"].items():
            if row["name"] == "popularity" and metric in ("rmse", "mae"):
                assert figure["mean"] is None and figure["tasks"] == 0
                continue
            mean = np.nanmean(values[metric])
            assert figure["mean"] == pytest.approx(np.sqrt(mean) if metric == "rmse" else mean, abs=1e-6)
            assert figure["undefined"] == np.isnan(values[metric]).sum()
            assert figure["tasks"] + figure["undefined"] == len(values[metric])
            assert figure["per_seed"] == [pytest.approx(figure["mean"])]
            assert figure["low"] <= figure["mean"] <= figure["high"]


def test_comparisons_can_be_worked_out_again(finished):
    found = finished.results
    for row in found["rows"]:
        assert ("versus" in row) == (row["name"] in LEARNER_NAMES)
        if "versus" not in row:
            continue
        rmse = {name: results.figures(found, name, row["shots"], "rmse") for name in [row["name"], "item_mean"]}
        assert row["versus"]["baseline"] == row["versus"]["rmse"]["baseline"] == "item_mean"
        difference = rmse[row["name"]]["mean"] - rmse["item_mean"]["mean"]
        assert row["versus"]["rmse"]["difference"] == pytest.approx(difference, abs=1e-6)
        aucs = {name: results.figures(found, name, row["shots"], "auc")["mean"] for name in BASELINE_NAMES}
        assert aucs[row["versus"]["auc"]["baseline"]] == max(aucs.values())
        assert ("adaptation" in row) == (row["shots"] > 0)


def test_a_second_run_says_done_prints_the_same_and_touches_nothing(finished, run):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}
    code, output, _ = run(*finished.arguments, f"--workdir={finished.folder}")
    assert code == 0
    first, _, table = output.partition("\n\n")
    assert "done already" in first and str(finished.folder) in first
    assert table == finished.output
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")} == before


def test_flags_txt_is_a_flag_file_of_the_same_run(finished, run):
    code, output, error = run(f"--flagfile={finished.folder / 'flags.txt'}", f"--workdir={finished.folder}")
    assert code == 0, error
    assert "done already" in output and output.endswith(finished.output)


def test_the_split_file_of_a_run_gives_the_same_tasks(finished, run):
    arguments = [f"--ratings={finished.ratings}", "--learners=none", "--baselines=item_mean", *SMALL[:2]]
    split = finished.folder / "seed_0" / "split.parquet"
    code, _, error = run(*arguments, f"--split={split}", "--workdir=again")
    assert code == 0, error
    found = results.read_json("again/results.json")
    assert found["split"] == finished.results["split"]
    assert found["rows"] == [row for row in finished.results["rows"] if row["name"] == "item_mean"]


def test_several_seeds_are_several_splits_in_one_table(finished, run):
    arguments = [f"--ratings={finished.ratings}", "--learners=none", "--baselines=item_mean", *SMALL[:2]]
    code, _, error = run(*arguments, "--seeds=3", "--workdir=seeds")
    assert code == 0, error
    found = results.read_json("seeds/results.json")
    assert found["seeds"] == [0, 1, 2] and len(set(found["split"]["sha256"])) == 3
    assert found["split"]["sha256"][0] == finished.results["split"]["sha256"]
    frame = pl.read_parquet("seeds/predictions.parquet")
    for row in found["rows"]:
        of_k = frame.filter(pl.col("shots") == str(row["shots"]))
        seeds = [plain_metrics(part)["rmse"] for _, part in of_k.group_by("seed", maintain_order=True)]
        assert row["metrics"]["rmse"]["per_seed"] == pytest.approx([np.sqrt(part.mean()) for part in seeds])
        assert row["metrics"]["rmse"]["mean"] == pytest.approx(np.sqrt(np.concatenate(seeds).mean()))
    one = results.figures(finished.results, "item_mean", 2, "rmse")["mean"]
    assert found["rows"][1]["metrics"]["rmse"]["per_seed"][0] == pytest.approx(one)


KILLED_IN_A_SAVE = """
import os, signal, sys
from experiments import user_cold_start as experiment
from metarec_jax.ops import files

replace, saves = os.replace, []

def killed(source, target):
    if str(target).endswith("checkpoint.msgpack"):
        saves.append(target)
        if len(saves) == 7:  # the file is written, and does not have its name yet
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

files.os.replace = killed
experiment.main()
"""


@pytest.mark.slow
def test_two_kills_lead_to_the_same_bytes(finished, tmp_path):
    folder = tmp_path / "killed"
    arguments = [f"--flagfile={finished.folder / 'flags.txt'}", f"--workdir={folder}"]
    process = start(*arguments)
    while process.poll() is None and not list(folder.glob("seed_0/*/checkpoint.msgpack")):
        time.sleep(0.001)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors  # else the kill came too late to say anything
    assert not (folder / "results.json").exists()
    process = start(*arguments, program=("-c", KILLED_IN_A_SAVE))
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert not (folder / "results.json").exists()
    log = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(log + '{"seed": 0, "name": "maml", "st')  # and half a line
    process = start(*arguments)
    output, errors = process.communicate()
    assert process.returncode == 0, errors

    again, whole = (everything_below(place) for place in (folder, finished.folder))
    leftovers = {name for name in again if name.endswith(".tmp")}
    assert set(again) - leftovers == set(whole)
    same = [name for name in whole if name.endswith((".msgpack", ".parquet", "flags.txt"))]
    assert len(same) > 2 * len(LEARNER_NAMES)
    for name in same:
        assert again[name] == whole[name], name
    records = [[untimed(json.loads(line)) for line in part["metrics.jsonl"].splitlines()] for part in (again, whole)]
    assert records[0] == records[1]
    assert len({(record["name"], record["step"]) for record in records[0]}) == len(records[0])
    found = results.read_json(folder / "results.json")
    assert found["rows"] == finished.results["rows"]
    assert output.splitlines()[:-1] == finished.output.splitlines()[:-1]  # the last one names the work directory


def untimed(record: dict) -> dict:
    return {key: value for key, value in record.items() if key != "seconds"}


def test_a_work_directory_of_other_flags_names_them(finished, run):
    before = everything_below(finished.folder)
    code, _, error = run(*finished.arguments, "--seed=1", f"--workdir={finished.folder}")
    assert code == 1 and error.startswith(f"error: {finished.folder} ") and "\n" not in error
    assert "--seed=1" in error and "--seed=0" in error and "choose another --workdir" in error
    assert everything_below(finished.folder) == before


def test_a_checkpoint_that_was_cut_is_named_with_the_remedy(finished, run, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "work")
    (tmp_path / "work" / "results.json").unlink()
    (tmp_path / "work" / "seed_0" / "maml" / "info.json").unlink()
    path = tmp_path / "work" / "seed_0" / "maml" / "checkpoint.msgpack"
    path.write_bytes(path.read_bytes()[:-100])
    code, _, error = run(*finished.arguments, "--workdir=work")
    assert code == 1 and error.startswith("error: work/seed_0/maml/checkpoint.msgpack: ") and "\n" not in error
    assert "cut short" in error and "delete it to start anew" in error
