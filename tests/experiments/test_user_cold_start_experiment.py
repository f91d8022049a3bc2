"""The user cold-start experiment as people meet it: a whole run, its figures again, kills, repeats and bad input.

One small run of four learners is shared by these tests, and two kills on the way to another one must lead to the same
bytes. Kills need a process of their own; the rest runs here, with the flags parsed anew.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from helpers import write_ratings

from experiments import user_cold_start as experiment
from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.recipes import RECIPES, classical
from metarec_jax.report import results
from metarec_jax.tasks.split_file import read_split
from metarec_jax.types import Baseline

ROOT = Path(__file__).parents[2]
SHOTS, QUERY, STEPS = (0, 2, 4), 3, 40
SMALL = ["--shots=0,2,4", f"--query={QUERY}", f"--steps={STEPS}"]
BASELINE_NAMES = ["item_mean", "popularity"]  # one predicts ratings, the other scores
LEARNER_NAMES = ["protonet", "maml", "ridge", "cnp"]  # one of each family


def start(*arguments: str, program: tuple[str, ...] = ("-m", "experiments.user_cold_start")):
    """The experiment as a process of its own, on one device."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """run(*arguments) -> (exit code, standard output, error): the experiment in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, error = 0, ""
        try:
            experiment.main(["user_cold_start.py", *arguments])
        except SystemExit as end:
            code, error = (1, end.code) if isinstance(end.code, str) else (end.code or 0, "")
        return code, capsys.readouterr().out, error

    return run


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ a complete run


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


def plain_auc(frame: pl.DataFrame) -> float:
    rating, prediction = frame["target"].to_list(), frame["prediction"].to_list()
    pairs = [(i, j) for i, j in itertools.permutations(range(len(rating)), 2) if rating[i] > rating[j]]
    won = [(prediction[i] > prediction[j]) + (prediction[i] == prediction[j]) / 2 for i, j in pairs]
    return sum(won) / len(won) if won else float("nan")


def plain_ndcg(frame: pl.DataFrame, k: int) -> float:
    """Averaged over every order of the rows with a stable sort, which breaks ties in all ways."""
    gain = 2.0 ** frame["target"].to_numpy() - 1  # of ratings 1..5
    if len(set(gain)) == 1:
        return float("nan")
    discount = np.where(np.arange(len(gain)) < k, 1 / np.log2(np.arange(len(gain)) + 2.0), 0)
    orders = [np.array(order) for order in itertools.permutations(range(len(gain)))]
    score = -frame["prediction"].to_numpy()
    dcg = [gain[order[np.argsort(score[order], kind="stable")]] @ discount for order in orders]
    return float(np.mean(dcg) / (np.sort(gain)[::-1] @ discount))


def plain_metrics(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Metric -> one value a task, NaN where undefined, in plain Python."""
    tasks = [task for _, task in frame.group_by("task", maintain_order=True)]
    errors = [(task["prediction"].cast(float) - task["target"].cast(float)).to_numpy() for task in tasks]
    relevant = [(task["target"] >= 4).mean() for task in tasks]  # a query of 3 is shorter than 5
    return {
        "rmse": np.array([np.mean(error**2) for error in errors]),
        "mae": np.array([np.mean(np.abs(error)) for error in errors]),
        "auc": np.array([plain_auc(task) for task in tasks]),
        "ndcg@5": np.array([plain_ndcg(task, 5) for task in tasks]),
        "precision@5": np.array([share if share else np.nan for share in relevant]),
        "ndcg@10": np.array([plain_ndcg(task, 10) for task in tasks]),
    }


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


# --------------------------------------------------------------------------------------------------------- kills

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


# -------------------------------------------------------------------------------------------------------- errors

HEADER = "user,item,rating\n"
ROWS = "".join(f"u{user},i{item},{1 + (user + item) % 5}\n" for user in range(60) for item in range(8))
FILES = {
    "good.csv": HEADER + ROWS,
    "column.csv": ("person,item,rating\n") + ROWS,
    "letters.csv": HEADER + "u1,i9,good\n" + ROWS,
    "missing.csv": HEADER + "u1,i9,\n" + ROWS,
    "nan.csv": HEADER + "u1,i9,nan\n" + ROWS,
    "twice.csv": HEADER + ROWS + "u7,i3,4\n",
    "nobody.csv": HEADER + ROWS + ",i3,4\n",
    "wide.csv": HEADER + ROWS + "u7,i9,4,5\n",
    "same.csv": HEADER + "".join(f"u{user},i{item},1\n" for user in range(60) for item in range(8)),
    "chosen.csv": "user,item\nu1,i1\n",
    "bare.csv": ROWS,
    "empty.csv": "",
    "good.xls": "",
    "header.csv": HEADER,
    "few.csv": HEADER + "u1,i1,3\nu1,i2,4\nu2,i1,5\n",
    "split.csv": "user,item,rating,role\nu1,i1,3,train\n",
    "other.csv": "user,item,rating,role\nu0,i1,2,train\nu1,i1,4,valid_query\nu2,i1,4,test_query\n",
}
GOOD = "--ratings=good.csv"
CASES = {
    "missing file": (["--ratings=none.csv"], ["none.csv", "cannot be read", "check the path"]),
    "another extension": (["--ratings=good.xls"], ["good.xls", "use a .csv, .tsv", ".parquet"]),
    "wrong column": (
        ["--ratings=column.csv"],
        ["column.csv", "no column 'user'", "'person'", "--columns=user=person,item=item"],
    ),
    "wrong named column": (
        [GOOD, "--columns=user=uid"],
        ["good.csv", "no column 'uid'", "--columns=user=user,item=item"],
    ),
    "columns that do not read": ([GOOD, "--columns=uid"], ["'uid'", "user=uid,item=isbn"]),
    "not a number": (["--ratings=letters.csv"], ["letters.csv", "line 2", "'good'", "correct it or delete the row"]),
    "no rating": (["--ratings=missing.csv"], ["missing.csv", "line 2", "rating", "correct it or delete the row"]),
    "nan rating": (["--ratings=nan.csv"], ["nan.csv", "line 2", "'nan'", "correct it or delete the row"]),
    "rated twice": (["--ratings=twice.csv"], ["twice.csv", "user u7", "item i3", "keep one"]),
    "no user": (["--ratings=nobody.csv"], ["nobody.csv", "line 482", "user", "fill it in or delete the row"]),
    "a field too many": (["--ratings=wide.csv"], ["wide.csv", "line 482", "4 fields where 3", "correct or delete"]),
    "empty file": (["--ratings=empty.csv"], ["empty.csv", "empty"]),
    "all the same": (["--ratings=same.csv"], ["same.csv", "every rating is 1", "catalogue_ranking.py ranks what was"]),
    "no ratings": (["--ratings=chosen.csv"], ["chosen.csv", "no column 'rating'", "catalogue_ranking.py ranks"]),
    "no header": (["--ratings=bare.csv"], ["bare.csv", "looks like data", "--columns=user=1,item=2,rating=3"]),
    "header only": (["--ratings=header.csv"], ["header.csv", "no ratings"]),
    "too few users": (["--ratings=few.csv"], ["few.csv", "the split has no", "ask for wider bounds"]),
    "k too large": (
        [GOOD, "--shots=0,50"],
        ["50 support + 3 query", "good.csv", "works is 8, for example --query=3 --shots=0,5"],
    ),
    "query too large": ([GOOD, "--query=9"], ["the split has no", "works is 8, for example --query=4 --shots=0,4"]),
    "time without timestamps": ([GOOD, "--order=time"], ["good.csv has no timestamps", "use random order"]),
    "wrong k": ([GOOD, "--shots=0,many"], ["--shots", "'many'", "nor 'all'"]),
    "negative k": ([GOOD, "--shots=-1"], ["--shots", "'-1'", "nor 'all'"]),
    "strange digit": ([GOOD, "--shots=²"], ["--shots", "'²'", "nor 'all'"]),
    "no k": ([GOOD, "--shots="], ["--shots", "a number"]),
    "learner": ([GOOD, "--learners=x"], ["--learners", "'x'", "maml"]),
    "one bad learner": ([GOOD, "--learners=maml,mamml"], ["--learners", "'mamml'", "maml"]),
    "baseline": ([GOOD, "--baselines=x"], ["--baselines", "'x'", "item_mean", "transfer"]),
    "nothing to run": ([GOOD, "--learners=none", "--baselines=none"], ["nothing to run"]),
    "set without a dot": ([GOOD, "--set=lr=1"], ["--set=lr=1", "NAME.KEY=VALUE"]),
    "set unknown key": ([GOOD, "--set=maml.x=1"], ["--set", "maml has no 'x'", "inner_lr"]),
    "set not a number": ([GOOD, "--set=maml.inner_lr=abc"], ["--set", "maml.inner_lr='abc'", "float"]),
    "set too small": ([GOOD, "--set=maml.width=0"], ["--set", "maml.width=0", "at least 1"]),
    "set not finite": ([GOOD, "--set=maml.outer_lr=nan"], ["--set", "maml.outer_lr=nan", "0 or above"]),
    "set negative": ([GOOD, "--set=maml.prior_count=-1"], ["--set", "maml.prior_count=-1", "0 or above"]),
    "set of a method not run": ([GOOD, "--learners=maml", "--set=ridge.dim=3"], ["'ridge' is not run", "maml"]),
    "data set": (["--dataset=x"], ["--dataset=x", "ml-100k"]),
    "order": ([GOOD, "--order=x"], ["--order=x", "random", "time"]),
    "not a number flag": ([GOOD, "--query=many"], ["--query=many"]),
    "below the bound": ([GOOD, "--query=0"], ["--query=0", "an integer in the range [1, 2147483647]"]),
    "unknown flag": ([GOOD, "--quary=5"], ["'quary'", "query"]),
    "no flag": ([GOOD, "ml-1m"], ["'ml-1m' is not a flag", "--name=value"]),
    "columns without ratings": (["--columns=user=uid"], ["--columns needs --ratings"]),
    "duplicates without ratings": (["--duplicates=last"], ["--duplicates needs --ratings"]),
    "dataset with ratings": ([GOOD, "--dataset=ml-1m"], ["--dataset is replaced by --ratings"]),
    "bounds with a split": ([GOOD, "--split=split.csv", "--min_ratings=5"], ["--min_ratings is decided by --split"]),
    "seeds with a split": ([GOOD, "--split=split.csv", "--seeds=2"], ["--seeds above 1", "--split"]),
    "parallel with one device": ([GOOD, "--parallel=pmap"], ["--parallel needs --devices above 1"]),
    "steps of nobody": ([GOOD, "--steps=5", "--learners=none", "--baselines=constant"], ["--steps", "trained"]),
    "missing split": ([GOOD, "--split=none.csv"], ["none.csv", "cannot be read"]),
    "split without parts": ([GOOD, "--split=split.csv"], ["split.csv", "no row has the role valid_query"]),
    "split of other data": ([GOOD, "--split=other.csv"], ["other.csv", "line 3", "i1", "u1", "not in good.csv"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_with_the_remedy_and_leaves_nothing(run, tmp_path, name):
    for file, content in FILES.items():
        (tmp_path / file).write_text(content)
    arguments, words = CASES[name]
    code, output, error = run("--query=3", "--shots=0,2", "--workdir=work", *arguments)
    assert (code, output) == (1, "") and error.startswith("error: ") and "\n" not in error, error
    for word in words:
        assert word in error, error
    assert set(os.listdir(tmp_path)) == set(FILES)


def test_a_wrong_flag_on_the_command_line(tmp_path):
    """The way from the shell: one line on the standard error, exit code 1."""
    process = start(tmp_path, "--dataset=x", f"--workdir={tmp_path / 'work'}")
    output, errors = process.communicate()
    assert process.returncode == 1 and output == ""
    assert errors.startswith("error: ") and errors.count("\n") == 1 and "ml-100k" in errors
    assert not (tmp_path / "work").exists()


def test_a_mended_mistake_may_use_the_same_work_directory(run, tmp_path):
    (tmp_path / "good.csv").write_text(FILES["good.csv"])
    quick = ["--learners=none", "--baselines=constant", "--query=3", "--workdir=work"]
    assert run("--ratings=god.csv", "--shots=0", *quick)[0] == 1
    assert run(GOOD, "--shots=50", *quick)[0] == 1
    code, output, error = run(GOOD, "--shots=0", *quick)
    assert code == 0 and "constant" in output, error


def test_a_run_that_diverges_names_the_learner_or_the_loss(run, tmp_path):
    (tmp_path / "good.csv").write_text(FILES["good.csv"])
    arguments = [GOOD, *SMALL, "--learners=fomaml", "--baselines=none", "--set=fomaml.inner_lr=1e30"]
    code, _, error = run(*arguments, "--workdir=work")
    assert code == 1 and error.startswith("error: ") and "\n" not in error
    assert "learning rate" in error and "lower" in error
    assert not (tmp_path / "work" / "results.json").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_no_number_stops_the_run(run, tmp_path, monkeypatch, value):
    (tmp_path / "good.csv").write_text(FILES["good.csv"])
    broken = Baseline(
        lambda train: {}, lambda params, support: params, lambda fast, x: jnp.where(x.id == 3, value, 3.0)
    )
    monkeypatch.setitem(RECIPES, "item_mean", classical(broken, [{}])._replace(name="item_mean"))
    code, _, error = run(GOOD, "--shots=2", "--query=5", "--learners=none", "--baselines=item_mean", "--workdir=work")
    assert code == 1 and error.startswith(f"error: item_mean predicts {value} for task u") and "\n" not in error
    assert not list(tmp_path.rglob("predictions.parquet")) and not list(tmp_path.rglob("results.json"))


def foreign(kind: str, work: Path) -> None:
    """A work directory that is none of ours."""
    if kind == "file":
        work.write_text("not a directory")
        return
    work.mkdir()
    if kind == "other experiment":
        (work / "flags.txt").write_text("# experiments/online.py\n--seed=0\n")
    else:
        (work / "thesis.tex").write_text("do not touch")


@pytest.mark.parametrize("kind", ["file", "other experiment", "other files"])
def test_a_work_directory_of_something_else_is_left_alone(run, tmp_path, kind):
    (tmp_path / "good.csv").write_text(FILES["good.csv"])
    foreign(kind, tmp_path / "work")
    before = everything_below(tmp_path)
    code, _, error = run(GOOD, *SMALL, "--workdir=work")
    assert code == 1 and error.startswith("error: work ") and "choose another --workdir" in error
    assert everything_below(tmp_path) == before


def test_a_work_directory_of_other_flags_names_them(finished, run):
    before = everything_below(finished.folder)
    code, _, error = run(*finished.arguments, "--seed=1", f"--workdir={finished.folder}")
    assert code == 1 and error.startswith(f"error: {finished.folder} ") and "\n" not in error
    assert "--seed=1" in error and "--seed=0" in error and "choose another --workdir" in error
    assert everything_below(finished.folder) == before


def test_a_work_directory_that_cannot_be_made(run, tmp_path):
    (tmp_path / "good.csv").write_text(FILES["good.csv"])
    quick = ["--learners=none", "--baselines=constant", "--query=3", "--shots=0"]
    code, _, error = run(GOOD, *quick, "--workdir=good.csv/work")
    assert code == 1 and error.startswith("error: ") and "good.csv" in error and "\n" not in error


def test_a_checkpoint_that_was_cut_is_named_with_the_remedy(finished, run, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "work")
    (tmp_path / "work" / "results.json").unlink()
    (tmp_path / "work" / "seed_0" / "maml" / "info.json").unlink()
    path = tmp_path / "work" / "seed_0" / "maml" / "checkpoint.msgpack"
    path.write_bytes(path.read_bytes()[:-100])
    code, _, error = run(*finished.arguments, "--workdir=work")
    assert code == 1 and error.startswith("error: work/seed_0/maml/checkpoint.msgpack: ") and "\n" not in error
    assert "cut short" in error and "delete it to start anew" in error
