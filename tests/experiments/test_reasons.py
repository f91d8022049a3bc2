"""Reasons as people meet them: a page that says why, safely, and a table that says whether it is true."""

import json

import numpy as np
import polars as pl
import pytest
from helpers import call, write_tastes

from experiments import reasons
from metarec_jax.report import results


def test_reasons_are_told_and_put_to_the_test(tmp_path, capsys):
    write_tastes(tmp_path / "mine.csv")
    arguments = [f"--ratings={tmp_path / 'mine.csv'}", "--learners=none", "--shots=4", "--query=3"]
    arguments += ["--examples=2", f"--workdir={tmp_path / 'work'}"]
    call(reasons, *arguments)
    found = results.read_json(tmp_path / "work" / "results.json")
    frame = pl.read_parquet(tmp_path / "work" / "influences.parquet")
    [row] = found["rows"]  # of the Gaussian process; that learners are trained is the common driver's
    assert row["kind"] == "baseline" and row["metrics"]["correlation"]["low"] > 0.9
    assert row["metrics"]["correlation"]["tasks"] == len(frame) == found["split"]["test_tasks"] * 3 * 4
    pair = np.corrcoef(-frame["by_weight"], frame["effect"])[0, 1]
    assert row["metrics"]["correlation"]["mean"] == pytest.approx(pair, abs=1e-4)
    assert row["metrics"]["same sign"]["mean"] == 1 and row["beyond_random"]["low"] > 0
    page = (tmp_path / "work" / "report.html").read_text()
    assert "you gave &lt;b&gt;i" in page and "<b>i" not in page and "http" not in page
    best = frame.filter(pl.col("user") == found["examples"]["gp"][0]["user"])
    assert found["examples"]["gp"][0]["prediction"] == pytest.approx(best["prediction"].max())
    assert len(found["examples"]["gp"]) == 2 and "most - random" in capsys.readouterr().out
    before = json.dumps(found)
    call(reasons, *arguments)  # shows what was found
    assert "is done already" in capsys.readouterr().out
    assert json.dumps(results.read_json(tmp_path / "work" / "results.json")) == before


def test_reasons_need_a_known_number_of_ratings(tmp_path):
    for shots in ("0,5", "all"):
        with pytest.raises(SystemExit, match="shots: reasons are ratings that are known"):
            call(reasons, f"--shots={shots}", f"--workdir={tmp_path / 'work'}")
