"""The few-shot experiment on texts: a small run from end to end, its figures again, a resume, bad input.

In processes of its own: its flags have the names of other experiments' flags, and absl knows each name once a process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FLAGS = ["--dataset=huffpost", "--ways=3", "--shots=2", "--query=4", "--episodes=30", "--steps=4", "--devices=2"]

SCRIPT = """
import dataclasses, sys
from absl import app
from experiments import few_shot_text
from experiments.common.command_line import parse
from metarec_jax.data import download, text_features

text_features.hashed_ngrams.__defaults__ = (64, 16)
few_shot_text.WIDTH = 64
spec = dataclasses.replace(download.SPECS["huffpost"], counts={})
download.SPECS["huffpost"] = spec
app.run(few_shot_text.main, argv=sys.argv, flags_parser=parse)
"""


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


def run(workdir: Path, data_dir: Path, *more: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT, *FLAGS, f"--workdir={workdir}", f"--data_dir={data_dir}", *more]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("few_shot") / "work"
    process = run(folder, data_dir, "--learners=protonet,refined protonet")
    assert process.returncode == 0, process.stderr
    return folder, process.stdout, json.loads((folder / "results.json").read_text())


def test_results_hold_every_figure_and_follow_from_the_episodes(finished):
    folder, output, found = finished
    refined = {"refined mean", "refined protonet"}
    names = {"nearest mean", "nearest neighbour", "logistic regression", "protonet"} | refined
    assert {(row["name"], row["shots"]) for row in found["rows"]} == {(name, 2) for name in names}
    accuracy = {}
    for row in found["rows"]:
        path = folder / f"{row['name']}_3_way_{row['shots']}_shot.json"
        accuracy[row["name"], row["shots"]] = np.array(json.loads(path.read_text())["accuracy"])
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
    for episode in found["examples"]:
        shots = int(episode["shape"][6])
        assert [len(items) for items in episode["support"]] == [shots] * 3 and len(episode["query"]) == 9
        assert [query["truth"] for query in episode["query"]] == [0] * 3 + [1] * 3 + [2] * 3
    page = (folder / "report.html").read_text()
    assert "<b>this</b>" not in page and "&lt;b&gt;this" in page and "http" not in page.replace("http-equiv", "")


def test_a_run_that_was_broken_off_goes_on_from_what_is_there(finished, data_dir):
    folder, output, found = finished
    (folder / "results.json").unlink()
    (folder / "protonet_3_way_2_shot.json").unlink()  # its checkpoint stays
    again = run(folder, data_dir, "--learners=protonet,refined protonet")
    assert again.returncode == 0, again.stderr
    rows = json.loads((folder / "results.json").read_text())["rows"]
    for row, before in zip(rows, found["rows"], strict=True):
        assert row["accuracy"] == before["accuracy"]


def test_a_mistake_is_one_line(tmp_path, data_dir):
    process = run(tmp_path / "work", data_dir, "--minutes=1")
    assert process.returncode == 1
    assert "error: --steps and --minutes: give one of the two." in process.stderr.splitlines()[-1]
