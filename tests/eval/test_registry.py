"""A metric is one row: MAPE, added to ONE file of a copy of the package, is in everything that a run writes.

The function and the row are those of docs/add_a_metric.md.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add_a_metric.md").read_text()
RUN = """
from pathlib import Path

import metarec_jax as mr
from metarec_jax.data.synthetic.gaussian_world import make_world

# Users differ by far more than items, so that a method that adapts to a user wins from a few ratings on.
ratings = make_world(0, users=600, items=30, ratings_per_user=12, mean=6.0, user_bias=1.5).ratings
result = mr.benchmarks.run(
    mr.benchmarks.user_cold_start(shots=(0, 5), query=5),
    ratings,
    ["constant", "item_mean", mr.recipes.lwa(dim=4, steps=2, prior_count=1.0)],
    progress=False,
)
result.save("results.json")
result.report("report.html")
Path("table.txt").write_text(result.table("mape"))
print(mr.__file__)
"""


def add_row(source: str) -> str:
    """The file of metrics with the page's function, and its row at the end of `RATING`."""
    block = next(text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "MAPE = Metric" in text)
    function, row = block[block.index("def percentage_error") :].split("MAPE = ")
    added, rows = re.subn(r"(?ms)^(RATING = \(\n.*?)^\)$", lambda match: f"{match[1]}    {row.strip()},\n)", source)
    assert rows == 1
    return added.replace("\nRATING = (", f"\n\n{function}\n\nRATING = (")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder in which a copy of the package with one more row wrote its results."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copytree(ROOT / "metarec_jax", folder / "metarec_jax", ignore=shutil.ignore_patterns("__pycache__"))
    metrics = folder / "metarec_jax" / "eval" / "metrics.py"
    metrics.write_text(add_row(metrics.read_text()))
    environment = os.environ | {"PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "metarec_jax" / "__init__.py")
    return folder


@pytest.fixture
def rows(written) -> list[dict]:
    return json.loads((written / "results.json").read_text())["rows"]


def test_it_is_in_results_json(rows):
    assert {(row["name"], row["shots"]) for row in rows} == {
        (name, shots) for name in ("constant", "item_mean", "lwa") for shots in (0, 5)
    }
    for row in rows:
        assert row["metrics"]["mape"]["tasks"] > 10 and 0 < row["metrics"]["mape"]["mean"] < 100


def test_it_is_in_the_text_table(written, rows):
    table = (written / "table.txt").read_text()
    assert "MAPE on the test tasks (lower is better, * best of the column)" in table
    assert "difference in MAPE [95% interval], negative is better" in table
    best = min(row["metrics"]["mape"]["mean"] for row in rows if row["shots"] == 5)
    assert f"{best:.4f}*" in table


def test_it_is_in_the_report(written):
    report = (written / "report.html").read_text()
    assert "MAPE" in report and "in percent of the rating" in report


def test_comparisons_know_its_direction(written, rows):
    for shots in (0, 5):
        own = [row for row in rows if row["shots"] == shots]
        baselines = {row["name"]: row["metrics"]["mape"]["mean"] for row in own if row["kind"] == "baseline"}
        (learner,) = [row for row in own if row["kind"] == "learner"]
        versus = learner["versus"]["mape"]
        assert versus["baseline"] == min(baselines, key=baselines.get)
        difference = learner["metrics"]["mape"]["mean"] - baselines[versus["baseline"]]
        assert versus["difference"] == pytest.approx(difference, abs=1e-4)
    assert versus["high"] < 0  # at K = 5 the learner knows the user's mean
    line = next(
        line for line in (written / "table.txt").read_text().splitlines() if f"{versus['difference']:+.4f}" in line
    )
    assert line.rstrip().endswith("better")
