"""The program of the few-shot experiments, on real texts: a small run from end to end, a second one, bad input.

In processes of its own: its flags have the names of other experiments' flags, and absl knows each name once a process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(os.environ.get("METAREC_DATA_DIR", "")) / "banking77"
needs_data = pytest.mark.skipif(
    not (os.environ.get("METAREC_DATA_DIR") and HERE.is_dir()),
    reason="set METAREC_DATA_DIR to a folder that has PolyAI-LDN/task-specific-datasets' banking_data as banking77",
)
FLAGS = ["--dataset=banking77", "--shots=1,5", "--steps=40", "--episodes=40", "--learners=protonet"]
FLAGS += ["--baselines=nearest mean"]


def run(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "experiments.few_shot_text", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


class Finished(NamedTuple):
    """A complete run."""

    folder: Path
    output: str
    results: dict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts") / "work"
    process = run(*FLAGS, f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    return Finished(folder, process.stdout, json.loads((folder / "results.json").read_text()))


@needs_data
def test_every_method_is_scored_on_the_same_episodes(finished):
    rows = finished.results["rows"]
    names = {"nearest mean", "protonet"}
    assert {(row["name"], row["shots"]) for row in rows} == {(name, k) for name in names for k in (1, 5)}
    for row in rows:
        stored = json.loads((finished.folder / f"{row['name']}_5_way_{row['shots']}_shot.json").read_text())
        np.testing.assert_allclose(row["accuracy"]["mean"], np.mean(stored["accuracy"]))
        assert len(stored["accuracy"]) == 40 and row["accuracy"]["mean"] > 0.4  # chance is 0.2
        assert row["accuracy"]["low"] < row["accuracy"]["mean"] < row["accuracy"]["high"]
    mean = {(row["name"], row["shots"]): row["accuracy"]["mean"] for row in rows}
    assert all(mean[name, 5] > mean[name, 1] for name in names)
    of_learner = [row for row in rows if row["name"] == "protonet"]
    for row in of_learner:
        rival = row["versus"]["baseline"]
        difference = row["accuracy"]["mean"] - mean[rival, row["shots"]]
        np.testing.assert_allclose(row["versus"]["difference"], difference, atol=1e-6)


@needs_data
def test_the_page_shows_texts_and_nothing_from_outside(finished):
    page = (finished.folder / "report.html").read_text()
    episode = finished.results["examples"][0]
    assert len(episode["support"]) == 5 and len(episode["support"][0]) == episode["support"].count([]) + 1
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert {point["step"] for point in finished.results["curves"]["protonet_20_way_1_shot"]} >= {40}


@needs_data
def test_a_second_run_shows_what_the_first_found(finished):
    again = run(*FLAGS, f"--workdir={finished.folder}")
    assert again.returncode == 0 and "is done already" in again.stdout
    assert finished.output.split("All of it")[0] in again.stdout
    other = run(*FLAGS[:-1], f"--workdir={finished.folder}")
    assert other.returncode == 1 and "other flags" in other.stderr


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--ways=0", "--ways: '0' is not a whole number above 0."),
        ("--shots=one", "--shots: 'one' is not a whole number above 0."),
        ("--minutes=3", "--steps and --minutes: give one of the two."),
        pytest.param("--learners=nobody", "unknown 'nobody'", marks=needs_data),
    ],
)
def test_bad_input_is_one_line(tmp_path, flag, message):
    flags = [given for given in FLAGS if given.partition("=")[0] != flag.partition("=")[0]]
    found = run(*flags, flag, f"--workdir={tmp_path / 'work'}")
    errors = [line for line in found.stderr.splitlines() if line.startswith("error:")]
    assert found.returncode == 1 and len(errors) == 1 and message in errors[0]
