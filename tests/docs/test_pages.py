"""The pages docs/add_a_*.md are true: their Python is run as it stands, and does what they promise.

docs/add_a_learner.md has a test of its own.
"""

import contextlib
import functools
import io
import re
from pathlib import Path

import numpy as np
import pytest

from metarec_jax import benchmarks

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("add_a_*.md"))}
del PAGES["add_a_learner"]
EXAMPLES = r"bookshelf|group_mean|gated|leave_last_one_out"  # files that a reader of the pages would write


@functools.cache
def page(name: str) -> dict:
    """The names that the page's blocks define, run in order; "printed" is what they print."""
    names, printed = {"__name__": name}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGES[name], re.DOTALL), 1):
            exec(compile(block, f"{name}.md, block {number}", "exec"), names)
    return names | {"printed": printed.getvalue()}


def rmse(names: dict, method: str, shots: int) -> float:
    """From the page's last table."""
    frame = names["result"].frame().filter(name=method, shots=str(shots), metric="rmse")
    return frame["mean"].item()


def test_there_is_a_page_for_everything_that_can_be_added():
    assert set(PAGES) == {f"add_a_{thing}" for thing in ("baseline", "data_set", "metric", "network", "protocol")}


@pytest.mark.parametrize("name", PAGES)
def test_places_that_a_page_names_exist_and_the_readme_links_it(name):
    places = re.findall(r"`((?:metarec_jax|tests|experiments|scripts)/[\w./]*)`", PAGES[name])
    assert places
    missing = [place for place in places if not re.search(EXAMPLES, place) and not (ROOT / place).exists()]
    assert not missing
    readme = (ROOT / "README.md").read_text()
    assert f"docs/{name}.md" in readme and "docs/conventions.md" in readme


def test_data_set():
    names = page("add_a_data_set")
    ratings = names["ratings"]
    assert (ratings.num_users, ratings.num_items, len(ratings.rating)) == (120, 30, 1800)
    assert ratings.levels.tolist() == [1, 2, 3, 4, 5] and ratings.item_titles[0] == "Volume 0, revised"
    assert ratings.item_features.values.sum(1).tolist() == [1] * 30
    assert (np.diff(ratings.timestamp.reshape(120, 15)) == 1).all()
    assert "ratings.csv: line 1802: stars 'five' is not a number" in names["printed"]
    assert rmse(names, "content_ridge", 5) < rmse(names, "item_mean", 5)


def test_baseline():
    names = page("add_a_baseline")
    assert "padding of the support is inert" in names["printed"] and "\ngroup_mean " in names["printed"]
    assert rmse(names, "group_mean", 0) < rmse(names, "item_mean", 0)
    fitted = names["fit"](names["ratings"], shrink=0.0)  # then a group's expected rating is its plain mean
    ratings = names["ratings"]
    group = ratings.user_features.values[:, 1] > 0
    rows = np.flatnonzero(group[ratings.user] & (ratings.item == 3))
    expected = fitted["item"][3] + fitted["group"][1, 3]
    np.testing.assert_allclose(expected, ratings.rating[rows].mean(), rtol=1e-5)


def test_metric():
    names = page("add_a_metric")
    np.testing.assert_allclose(names["values"]["mape"], [37.5, np.nan])
    assert set(names["table"]["name"]) == {"constant", "item_mean"} and len(names["table"]) == 4


def test_network():
    names = page("add_a_network")
    assert "\ngated_ridge " in names["printed"]
    assert names["few"].changes == (("dim", 8), ("steps", 20))


def test_protocol():
    names = page("add_a_protocol")
    assert "synthetic-0, leave_last_one_out" in names["printed"] and "\nlwa " in names["printed"]
    ratings = names["ratings"]
    split = names["split_last_one_out"](ratings, 0)
    for part in (split.valid, split.test):
        last = ratings.user_offsets[part.users + 1] - 1
        assert (part.query[:, 0] == last).all() and (part.support[:, 0] == last - 1).all()
        assert not np.isin(part.users, ratings.user[split.train_rows]).any()
        assert (ratings.user[part.support] == part.users[:, None]).all()


def test_the_script_of_the_protocol(monkeypatch):
    (text,) = re.findall(r"```py\n(.*?)```", PAGES["add_a_protocol"], re.DOTALL)
    assert text.count("\n") < 40
    monkeypatch.setattr(benchmarks, "leave_last_one_out", page("add_a_protocol")["leave_last_one_out"], raising=False)
    script = {"__name__": "leave_last_one_out"}
    exec(compile(text, "leave_last_one_out.py", "exec"), script)
    options = script["main"].options(["leave_last_one_out.py", "--shots=2,0", "--learners=lwa"])
    assert script["benchmark"](options).name == "leave_last_one_out"
    with pytest.raises(ValueError, match="order"):
        script["main"].options(["leave_last_one_out.py", "--order=time"])
