"""The few-shot experiment on texts: a small run from end to end, its figures again, a resume, bad input."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers import call

from experiments import few_shot_text, main
from metarec_jax.benchmarks.few_shot import text
from metarec_jax.data.features.text import hashed_ngrams
from metarec_jax.data.fetch import download

FLAGS = ["--dataset=huffpost", "--ways=3", "--shots=2", "--query=4", "--episodes=30", "--steps=4", "--devices=2"]
LEARNERS = "--learners=protonet,refined protonet"


@pytest.fixture(scope="module", autouse=True)
def small():
    """Few columns of n-grams, a data set of any size, and the devices that there are already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashed_ngrams, "__defaults__", (64, 16))
        patch.setattr(text, "WIDTH", 64)
        patch.setitem(download.SPECS, "huffpost", dataclasses.replace(download.SPECS["huffpost"], counts={}))
        patch.setattr(main, "make_devices", lambda number: None)
        yield


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """41 kinds of ten headlines; each kind has words of its own, and there are words of all."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "huffpost"
    folder.mkdir()
    lines = []
    for kind in range(41):
        own = ["".join(rng.choice(list("abcdefghijklmnop"), 7)) for _ in range(5)]
        for _ in range(10):
            said = [*rng.choice(own, 2), *rng.choice(["the", "a", "new", "<b>this</b>", "is"], 3)]
            lines.append(json.dumps({"raw": " ".join(said), "label": kind}))
    (folder / "huffpost.json").write_text("\n".join(lines))
    return folder.parent


def run(workdir: Path, data_dir: Path, *more: str) -> None:
    call(few_shot_text, *FLAGS, f"--workdir={workdir}", f"--data_dir={data_dir}", *more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    folder, output = tmp_path_factory.mktemp("few_shot") / "work", io.StringIO()
    with contextlib.redirect_stdout(output):
        run(folder, data_dir, LEARNERS)
    return folder, output.getvalue(), json.loads((folder / "results.json").read_text())


def test_results_hold_every_figure_and_follow_from_the_episodes(finished):
    folder, output, found = finished
    refined = {"refined mean", "refined protonet"}
    names = {"nearest mean", "nearest neighbour", "logistic regression", "protonet"} | refined
    assert {(row["name"], row["shots"]) for row in found["rows"]} == {(name, 2) for name in names}
    accuracy = {}
    for row in found["rows"]:
        path = folder / "seed_0" / f"{row['name']}_3_way_{row['shots']}_shot" / "values.parquet"
        accuracy[row["name"], row["shots"]] = pl.read_parquet(path)["accuracy"].to_numpy()
        assert len(accuracy[row["name"], row["shots"]]) == 30
        assert row["accuracy"]["mean"] == pytest.approx(accuracy[row["name"], row["shots"]].mean())
        assert row["accuracy"]["mean"] > 0.5  # chance is 1/3
        assert row["transductive"] == (row["name"] in refined)
    for row in found["rows"]:
        if row["kind"] == "learner":
            assert row["transductive"] or row["versus"]["baseline"] not in refined
            rival = accuracy[row["versus"]["baseline"], row["shots"]]
            difference = (accuracy[row["name"], row["shots"]] - rival).mean()
            assert row["versus"]["difference"] == pytest.approx(difference)
    assert "5-way" not in output and "3-way 2-shot" in output and "refined protonet" in output
    assert all([point["step"] for point in curve] == [1, 2, 3, 4] for curve in found["curves"].values())


def test_episodes_are_shown_with_what_each_method_says(finished):
    folder, _, found = finished
    assert len(found["examples"]) == 2
    predictions = pl.read_parquet(folder / "predictions.parquet")
    assert predictions.columns == [*("name", "shots", "seed", "task", "user", "item", "target", "prediction")]
    assert len(predictions) == 6 * 30 * 12 and predictions["shots"].unique().to_list() == ["3-way 2-shot"]
    for episode in found["examples"]:
        shots = int(episode["shape"][6])
        assert [len(items) for items in episode["support"]] == [shots] * 3 and len(episode["query"]) == 9
        assert [query["truth"] for query in episode["query"]] == [0] * 3 + [1] * 3 + [2] * 3
        for query, place in zip(episode["query"], [0, 1, 2, 4, 5, 6, 8, 9, 10], strict=True):
            asked = predictions.filter(item=place, task=found["examples"].index(episode))
            assert asked["target"].unique().to_list() == [query["truth"]]
            assert dict(asked.select("name", "prediction").iter_rows()) == query["predictions"]
    page = (folder / "report.html").read_text()
    assert "<b>this</b>" not in page and "&lt;b&gt;this" in page and "http" not in page.replace("http-equiv", "")


def test_a_run_that_was_broken_off_goes_on_from_what_is_there(finished, data_dir):
    folder, output, found = finished
    (folder / "results.json").unlink()
    (folder / "seed_0" / "protonet_3_way_2_shot" / "info.json").unlink()  # its checkpoint stays
    run(folder, data_dir, LEARNERS)
    rows = json.loads((folder / "results.json").read_text())["rows"]
    for row, before in zip(rows, found["rows"], strict=True):
        assert row["accuracy"] == before["accuracy"]


MISTAKES = {
    "--minutes=1": "--steps and --minutes: give one of the two.",
    "--ways=3,x": "--ways: 'x' is not a whole number of at least 1, up to a million.",
    "--shots=": "--shots: '' is not a whole number of at least 1, up to a million.",
    "--learners=maml": "--learners: unknown 'maml'; choose all, none, or some of protonet, ",
    "--learners=none": "--steps needs a learner.",
    "--vectors_dir=here": "--vectors_dir needs --features=sentences.",
    "--dataset=ml-100k": "clinc150|banking77|huffpost",
}


@pytest.mark.parametrize("flag", MISTAKES)
def test_a_mistake_is_one_line(tmp_path, data_dir, flag):
    with pytest.raises(SystemExit) as end:
        run(tmp_path / "work", data_dir, flag)
    message = str(end.value)
    assert message.startswith("error: ") and MISTAKES[flag] in message and "\n" not in message
    assert not (tmp_path / "work").exists()
