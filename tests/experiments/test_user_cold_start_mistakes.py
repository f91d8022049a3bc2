"""The user cold-start experiment and bad input: one line with the remedy, and nothing is left."""

import os
from pathlib import Path

import jax.numpy as jnp
import pytest
from user_cold_start_runs import everything_below, start

from metarec_jax.recipes import RECIPES, classical
from metarec_jax.types import Baseline

SMALL = ["--shots=0,2,4", "--query=3", "--steps=40"]


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
    "set too small": ([GOOD, "--set=maml.rank=0"], ["--set", "maml.rank=0", "at least 1"]),
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
    "missing tuned file": ([GOOD, "--tuned=none.json"], ["none.json", "cannot be read"]),
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


def test_a_work_directory_that_cannot_be_made(run, tmp_path):
    (tmp_path / "good.csv").write_text(FILES["good.csv"])
    quick = ["--learners=none", "--baselines=constant", "--query=3", "--shots=0"]
    code, _, error = run(GOOD, *quick, "--workdir=good.csv/work")
    assert code == 1 and error.startswith("error: ") and "good.csv" in error and "\n" not in error
