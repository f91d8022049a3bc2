"""The sinusoid experiment: a small run from end to end, its figures again, a resume, bad input."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from helpers import call

from experiments import sinusoid

NAMES, STEPS, TASKS = ["maml", "cavia"], 1000, 60
FLAGS = [f"--methods={','.join(NAMES)}", "--shots=10", f"--steps={STEPS}", f"--tasks={TASKS}"]


class Finished(NamedTuple):
    """A complete run."""

    folder: Path
    output: str
    results: dict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, output = tmp_path_factory.mktemp("sinusoid") / "work", io.StringIO()
    with contextlib.redirect_stdout(output):
        call(sinusoid, *FLAGS, f"--workdir={folder}")
    return Finished(folder, output.getvalue(), json.loads((folder / "results.json").read_text()))


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
    predictions = pl.read_parquet(finished.folder / "predictions.parquet")
    assert len(predictions) == len(expected) * TASKS * 100
    for row in found["rows"]:
        steps = f"10, {row['steps']} step{'s' * (row['steps'] != 1)}"
        kept = finished.folder / "seed_0" / f"{row['name']}_10_shots" / "values.parquet"
        errors = pl.read_parquet(kept).filter(shots=steps)["mse"].to_numpy()
        own = predictions.filter(name=row["name"], shots=steps)
        squares = own.select("task", square=(pl.col("target") - pl.col("prediction").cast(pl.Float64)) ** 2)
        by_task = squares.group_by("task", maintain_order=True).agg(pl.col("square").mean())
        np.testing.assert_allclose(by_task["square"], errors, rtol=1e-6)
        assert len(errors) == TASKS and row["diverged"] == 0
        assert row["mse"]["mean"] == pytest.approx(np.mean(errors))
        assert row["median"] == pytest.approx(np.median(errors))
        assert row["mse"]["low"] < row["mse"]["mean"] < row["mse"]["high"]
        assert (row["versus_maml"] is None) == (row["name"] == "maml")
        if row["versus_maml"]:
            expected = row["mse"]["mean"] - mean(found, "maml", row["steps"])
            assert row["versus_maml"]["difference"] == pytest.approx(expected)
        example = found["examples"]["10"]
        drawn = np.square(np.subtract(example["predictions"][row["name"]][str(row["steps"])], example["y"])).mean()
        assert np.isclose(errors, drawn, rtol=1e-4).any()  # the wave that is drawn is a test task
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


def test_a_second_run_says_done_and_prints_the_same(finished, capsys):
    call(sinusoid, *FLAGS, f"--workdir={finished.folder}")
    first, _, rest = capsys.readouterr().out.partition("\n\n")
    assert "done already" in first and rest == finished.output


def test_a_resume_does_not_train_again_and_finds_the_same(finished):
    """As after a kill in the midst of the second method's tests."""
    folder = finished.folder
    kept = folder / "seed_0" / "maml_10_shots" / "info.json"
    before = kept.stat().st_mtime_ns
    for lost in (folder / "results.json", folder / "seed_0" / "cavia_10_shots" / "info.json"):
        lost.unlink()
    call(sinusoid, *FLAGS, f"--workdir={folder}")
    found = json.loads((folder / "results.json").read_text())
    assert found["rows"] == finished.results["rows"] and found["curves"] == finished.results["curves"]
    assert kept.stat().st_mtime_ns == before


ERRORS = {
    ("--methods=x",): ["--methods", "'x'", "maml"],
    ("--methods=none",): ["nothing to run"],
    ("--shots=5,many",): ["--shots", "'many'", "whole number of at least 1"],
    ("--shots=5,all",): ["--shots", "'all'", "whole number of at least 1"],
    ("--shots=0",): ["--shots", "'0'", "whole number of at least 1"],
    ("--shots=",): ["--shots", "whole number of at least 1"],
    ("--steps=0",): ["--steps=0", "in the range [1, "],
    ("--tasks=1",): ["--tasks=1"],
    ("--seed=-1",): ["--seed=-1"],
    ("--stepps=5",): ["stepps", "Unknown"],
    ("--dataset=ml-100k",): ["dataset", "Unknown"],
    ("maml",): ["'maml' is not a flag"],
    ("--workdir=taken",): ["taken", "is not a work directory"],
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_bad_input_is_one_line(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    Path("taken", "file").write_text("")
    with pytest.raises(SystemExit) as end:
        call(sinusoid, *arguments)
    message = str(end.value)
    assert message.startswith("error: ") and "\n" not in message
    for part in ERRORS[arguments]:
        assert part.lower() in message.lower()
