"""The README's Python is run as it stands; the benchmark with fewer steps, which is the one thing that is changed."""

import re
from pathlib import Path

import numpy as np
import pytest

from metarec_jax.data.synthetic.gaussian_world import make_world

README = (Path(__file__).parents[2] / "README.md").read_text()
BENCHMARK, OWN_TASKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_own_tasks(capsys):
    exec(OWN_TASKS, {})
    assert "nan" not in capsys.readouterr().out


def test_the_benchmark_prints_its_table(capsys, monkeypatch, tmp_path):
    """On a small made table, from which nothing is downloaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("metarec_jax.data.load", lambda name: world())
    code = re.sub(r"(attentive_ridge|maml)\(", r"\1(steps=2, ", BENCHMARK)
    assert code.count("steps=2") == 2 and BENCHMARK.count("\n") < 12
    exec(code, {})
    table = capsys.readouterr().out
    for name in ("attentive_ridge", "maml", "gp", "K = 10", "Against the best baseline"):
        assert name in table
    assert "attentive_ridge" in (tmp_path / "report.html").read_text()


def world():
    """150 users of 60 items."""
    ratings = make_world(0, users=150, items=60, ratings_per_user=30, dims=2).ratings
    assert np.isfinite(ratings.rating).all()
    return ratings


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\((docs/\w+\.md)", README))))
def test_linked_pages_exist(path):
    assert (Path(__file__).parents[2] / path).exists()
