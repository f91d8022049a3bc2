"""Interviews as people meet them: what was asked, who could answer, and a page without markup from the data."""

import numpy as np
import polars as pl
import pytest
from helpers import call, write_tastes

from experiments import interview
from metarec_jax.report import results


def test_an_interview_asks_what_may_be_asked(tmp_path, capsys):
    write_tastes(tmp_path / "mine.csv")
    given = [f"--ratings={tmp_path / 'mine.csv'}", "--learners=melu", "--steps=20", "--shots=3", "--query=4"]
    given += ["--questions=3", "--ask=any", f"--workdir={tmp_path / 'work'}"]
    call(interview, *given)
    found = results.read_json(tmp_path / "work" / "results.json")
    asked = pl.read_parquet(tmp_path / "work" / "questions.parquet")
    values = pl.read_parquet(tmp_path / "work" / "values.parquet")
    assert set(values["name"].unique()) == {f"melu, {way}" for way in ("variance", "melu", "popular", "random")}
    assert asked.group_by("way", "task").agg(pl.col("item").n_unique())["item"].unique().to_list() == [3]
    split = pl.read_parquet(tmp_path / "work" / "seed_0" / "split.parquet")
    users = values["user"].unique(maintain_order=True)
    assert (asked["user"] == users.gather(asked["task"])).all()
    query, support = (split.filter(pl.col("role") == f"test_{kind}") for kind in ("query", "support"))
    assert len(asked.join(query, on=["user", "item"])) == 0
    could = asked.join(support, on=["user", "item"], how="left")["rating"].is_not_null()
    assert (could == (asked["answered"] == 1.0)).all() and 0 < could.mean() < 1
    before = values.filter(pl.col("shots") == "0").group_by("user").agg(pl.len(), pl.col("rmse").n_unique())
    assert (before["rmse"] == 1).all() and (before["len"] == 4).all()  # nobody has said anything yet
    row = next(row for row in found["rows"] if (row["way"], row["shots"]) == ("variance", 3))
    own = values.filter(pl.col("name") == "melu, variance", pl.col("shots") == "3")["rmse"]
    assert row["metrics"]["rmse"]["mean"] == pytest.approx(np.sqrt(own.mean()))
    answers = asked.filter(pl.col("way") == "variance")["answered"].sum() / len(users)
    assert row["answers"] == pytest.approx(answers) and set(row["against"]) == {"melu", "popular", "random"}
    page = (tmp_path / "work" / "report.html").read_text()
    assert "&lt;b&gt;i" in page and "<b>i" not in page and "http" not in page
    assert "answers so far" in capsys.readouterr().out
    call(interview, *given)
    assert "is done already" in capsys.readouterr().out


def test_somebody_must_hear_the_answers(tmp_path):
    with pytest.raises(SystemExit, match="nothing to run"):
        call(interview, "--learners=none", f"--workdir={tmp_path / 'work'}")
