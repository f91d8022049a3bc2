"""Interviews as people meet them: what was asked, who could answer, and a page without markup from the data."""

import numpy as np
import polars as pl
import pytest
from absl import flags

from experiments import interview
from experiments.common.command_line import parse
from metarec_jax.report import results


def call(*arguments) -> None:
    """The experiment in this process, with the flags parsed anew."""
    flags.FLAGS.unparse_flags()
    try:
        interview.main(parse(["interview.py", *map(str, arguments)]))
    finally:
        flags.FLAGS.unparse_flags()


def test_an_interview_asks_what_may_be_asked(tmp_path, capsys):
    rng = np.random.default_rng(0)
    taste, quality = rng.normal(size=(120, 2)), rng.normal(size=(40, 2))
    lines = ["user,item,rating"]
    for user in range(120):
        for item in rng.choice(40, 16, replace=False):
            stars = int(np.clip(np.round(3.4 + taste[user] @ quality[item] + 0.3 * rng.normal()), 1, 5))
            lines.append(f"u{user},<b>i{item},{stars}")
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    given = [f"--ratings={tmp_path / 'mine.csv'}", "--learners=melu", "--steps=20", "--shots=3", "--query=4"]
    given += ["--questions=3", "--ask=any", f"--workdir={tmp_path / 'work'}"]
    call(*given)
    found = results.read_json(tmp_path / "work" / "results.json")
    asked = pl.read_parquet(tmp_path / "work" / "questions.parquet")
    errors = pl.read_parquet(tmp_path / "work" / "errors.parquet")
    assert asked.group_by("way", "task").agg(pl.col("item").n_unique())["item"].unique().to_list() == [3]
    split = pl.read_parquet(tmp_path / "work" / "seed_0" / "split.parquet")
    users = errors["user"].unique(maintain_order=True)
    named = asked.with_columns(user=users.gather(asked["task"]))
    query, support = (split.filter(pl.col("role") == f"test_{kind}") for kind in ("query", "support"))
    assert len(named.join(query, on=["user", "item"])) == 0
    could = named.join(support, on=["user", "item"], how="left")["rating"].is_not_null()
    assert (could == (named["answered"] == 1.0)).all() and 0 < could.mean() < 1
    before = errors.filter(pl.col("questions") == 0).group_by("user").agg(pl.col("error").n_unique())
    assert (before["error"] == 1).all()  # nobody has said anything yet
    row = next(row for row in found["rows"] if (row["way"], row["shots"]) == ("variance", 3))
    own = errors.filter(pl.col("way") == "variance", pl.col("questions") == 3)["error"]
    assert row["metrics"]["rmse"]["mean"] == pytest.approx(np.sqrt(own.mean()))
    answers = asked.filter(pl.col("way") == "variance")["answered"].sum() / len(users)
    assert row["answers"] == pytest.approx(answers) and set(row["against"]) == {"melu", "popular", "random"}
    page = (tmp_path / "work" / "report.html").read_text()
    assert "&lt;b&gt;i" in page and "<b>i" not in page and "http" not in page
    assert "answers so far" in capsys.readouterr().out
    call(*given)
    assert "is done already" in capsys.readouterr().out


def test_somebody_must_hear_the_answers(tmp_path):
    with pytest.raises(SystemExit, match="nothing to run"):
        call("--learners=none", f"--workdir={tmp_path / 'work'}")
