"""The sinusoid experiment: a small run from end to end, its figures again, a resume, bad input.

In processes of its own: its flags have the names of other experiments' flags, and absl knows each name once a process.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
NAMES, STEPS, TASKS = ["maml", "cavia"], 1000, 60
FLAGS = [f"--methods={','.join(NAMES)}", "--shots=10", f"--steps={STEPS}", f"--tasks={TASKS}"]


def python(*arguments: str, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, **options
    )


class Finished(NamedTuple):
    """A complete run."""

    folder: Path
    output: str
    results: dict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    base = tmp_path_factory.mktemp("sinusoid")
    folder = base / "work"
    process = python("-m", "experiments.sinusoid", *FLAGS, f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    return Finished(folder, process.stdout, json.loads((folder / "results.json").read_text()))


def mean(results, name, steps) -> float:
    (row,) = [row for row in results["rows"] if (row["name"], row["steps"]) == (name, steps)]
    return row["mse"]["mean"]


def test_adapting_by_the_trained_step_beats_the_start_by_far(finished):
    before = mean(finished.results, "maml", 0)
    assert 2.5 < before < 4.0  # near the variance of the family, which no adaptation cannot beat
    assert mean(finished.results, "maml", 1) < 0.5 * before
    assert mean(finished.results, "cavia", 1) < 0.25 * before
    assert mean(finished.results, "cavia", 5) < mean(finished.results, "cavia", 1)


def test_results_hold_every_figure_and_they_can_be_worked_out_again(finished):
    found = finished.results
    assert found["protocol"]["test tasks"] == TASKS and found["seed"] == 0
    expected = [(name, n) for name in NAMES for n in (0, 1, 5, 10)]
    assert [(row["name"], row["steps"]) for row in found["rows"]] == expected
    for row in found["rows"]:
        stored = json.loads((finished.folder / f"{row['name']}_10_shots" / "outcome.json").read_text())
        errors = stored["errors"][str(row["steps"])]
        assert len(errors) == TASKS and row["diverged"] == 0
        assert row["mse"]["mean"] == pytest.approx(np.mean(errors))
        assert row["median"] == pytest.approx(np.median(errors))
        assert row["mse"]["low"] < row["mse"]["mean"] < row["mse"]["high"]
        assert (row["versus_maml"] is None) == (row["name"] == "maml")
        if row["versus_maml"]:
            expected = row["mse"]["mean"] - mean(found, "maml", row["steps"])
            assert row["versus_maml"]["difference"] == pytest.approx(expected)
        one = np.square(np.subtract(stored["example"][str(row["steps"])], found["examples"]["10"]["y"])).mean()
        assert np.isclose(errors, one, rtol=1e-4).any()  # the wave that is drawn is a test task
    for figure in found["figures"]:
        ours = mean(found, figure["name"], figure["steps"])
        assert figure["ours"]["mean"] == ours
        if "harder" not in figure["note"]:
            assert (figure["verdict"] == "reached") == (ours <= figure["value"])
    assert {(order["better"], order["worse"]) for order in found["orders"]} == {("cavia", "maml")}
    for name in NAMES:
        assert [point["step"] for point in found["curves"][name]["10"]][-1] == STEPS
        assert name in finished.output
    page = (finished.folder / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 2 and all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_second_run_says_done_and_prints_the_same(finished):
    process = python("-m", "experiments.sinusoid", *FLAGS, f"--workdir={finished.folder}")
    assert process.returncode == 0
    first, _, rest = process.stdout.partition("\n\n")
    assert "done already" in first and rest == finished.output


def test_a_resume_does_not_train_again_and_finds_the_same(finished):
    """As after a kill in the midst of the second method's tests."""
    folder = finished.folder
    kept = folder / "maml_10_shots" / "outcome.json"
    before = kept.stat().st_mtime_ns
    for lost in (folder / "results.json", folder / "cavia_10_shots" / "outcome.json"):
        lost.unlink()
    process = python("-m", "experiments.sinusoid", *FLAGS, f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    found = json.loads((folder / "results.json").read_text())
    assert found["rows"] == finished.results["rows"] and found["curves"] == finished.results["curves"]
    assert kept.stat().st_mtime_ns == before


MANY = """
import json, sys
from absl import flags
from experiments import sinusoid as experiment

found = []
for arguments in json.load(sys.stdin):
    flags.FLAGS.unparse_flags()
    try:
        experiment.main(experiment.parse(["sinusoid.py", *arguments]))
        found.append(None)
    except SystemExit as end:
        found.append(end.code)
print(json.dumps(found))
"""
ERRORS = {
    ("--methods=x",): ["--methods", "'x'", "maml"],
    ("--methods=none",): ["nothing to run"],
    ("--shots=5,many",): ["--shots", "'many'", "whole number above 0"],
    ("--shots=0",): ["--shots", "'0'", "whole number above 0"],
    ("--shots=",): ["--shots", "whole number above 0"],
    ("--steps=0",): ["--steps=0", "positive integer"],
    ("--tasks=1",): ["--tasks=1"],
    ("--seed=-1",): ["--seed=-1"],
    ("--stepps=5",): ["stepps", "Unknown"],
    ("--dataset=ml-100k",): ["dataset", "Unknown"],
    ("maml",): ["'maml' is not a flag"],
    ("--workdir=taken",): ["taken", "is not a work directory of sinusoid"],
}


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    cases = [[case.replace("=taken", f"={tmp_path / 'taken'}") for case in arguments] for arguments in ERRORS]
    process = python("-c", MANY, input=json.dumps(cases))
    assert process.returncode == 0, process.stderr
    for arguments, message in zip(ERRORS, json.loads(process.stdout), strict=True):
        assert message and message.startswith("error: ") and "\n" not in message, arguments
        for part in ERRORS[arguments]:
            assert part.lower() in message.lower(), (arguments, message)
