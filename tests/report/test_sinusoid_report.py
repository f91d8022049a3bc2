"""The report of the sinusoid experiment, and the verdicts on published figures, on made-up results."""

import matplotlib.image
import numpy as np
import pytest
from page_parser import Page

from metarec_jax.benchmarks.sinusoid import SinusoidResult
from metarec_jax.benchmarks.sinusoid.published import FIGURES, HARDER, judge_figures, judge_orders
from metarec_jax.report import sinusoid

NASTY = "<b>ours</b>"


def row(name, steps, mean, **more):
    spread = {"low": None, "high": None} if mean is None else {"low": 0.9 * mean, "high": 1.1 * mean}
    mse = {"mean": mean} | spread
    own = {"name": name, "shots": 10, "steps": steps, "mse": mse, "median": 0.5, "diverged": 0, "versus_maml": None}
    return own | more


def make_results():
    """MAML, and a method of a name that is markup, which diverges after one step."""
    change = {"difference": 0.5, "low": 0.25, "high": 0.75}
    rows = [row("maml", 0, 3.0), row("maml", 1, 0.3)]
    rows += [row(NASTY, 0, 3.5, versus_maml=change), row(NASTY, 1, None, diverged=7)]
    curve = [0.0, 1.0, None]
    predictions = {name: {"0": curve, "1": curve} for name in ("maml", NASTY)}
    wave = {"x": [-1, 0, 1], "y": [-2.0, 0.0, 2.0], "support_x": [0.5], "support_y": [1.0]}
    order = {"better": "maml", "worse": NASTY, "steps": 1, "source": "us", "shots": 10, "verdict": "holds"}
    return {
        "protocol": {"test tasks": 40, "gradient steps": [0, 1]},
        "seed": 0,
        "rows": rows,
        "figures": judge_figures(rows),
        "orders": [order | {"difference": -1.0, "low": -2.0, "high": -0.5}],
        "without": {NASTY: "none"},
        "notes": {NASTY: "a note"},
        "settings": {name: {"inner_steps": 1, "lr": 0.1} for name in ("maml", NASTY)},
        "curves": {},
        "examples": {"10": wave | {"predictions": predictions}},
        "timing": {"total": 1.0},
        "environment": {"jax": "0.10"},
    }


def test_text_table():
    text = sinusoid.text_table(make_results())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "K = 10: mean squared error on 40 test tasks [95% interval] (median)" in lines
    assert "maml 3.000 [2.700, 3.300] (0.500) 0.300* [0.270, 0.330] (0.500)" in lines
    assert f"{NASTY} 3.500 [3.150, 3.850] (0.500) diverges* on 7 tasks (0.500)" in lines
    assert "maml 10 1 0.4 ± 0.1 0.300 reached MAML paper, figure 6" in lines
    assert f"maml better than {NASTY} after 1 step, K = 10 holds us" in lines
    assert "nan" not in text and "None" not in text


def test_page_is_safe_and_self_contained():
    page = sinusoid.html_page(make_results())
    assert all(link.startswith("data:image/png;base64,") for link in Page(page).links)
    assert NASTY not in page and page.count("&lt;b&gt;ours&lt;/b&gt;") > 4
    assert "diverges" in page and "on 7 tasks" in page and "+0.500" in page and "worse" in page


def test_the_same_as_rows_and_as_latex():
    result = SinusoidResult(make_results())
    frame = result.frame()
    assert frame["shots"].to_list() == ["K = 10, 0 steps", "K = 10, 1 step"] * 2 and set(frame["tasks"]) == {40}
    assert frame["undefined"].to_list() == [0, 0, 0, 7] and frame["mean"].to_list() == [3.0, 0.3, 3.5, None]
    assert "K = 10, 1 step" in result.to_latex() and "MSE" in result.to_latex()


def test_figures_draw_gaps_and_divergence(tmp_path):
    found = make_results()
    for figure in (sinusoid.curves_figure(found, 10), sinusoid.errors_figure(found)):
        path = tmp_path / "figure.png"
        figure.savefig(path)
        assert matplotlib.image.imread(path).std() > 0.05


@pytest.mark.parametrize(
    "mean, low, verdict",
    [
        (0.4, 0.3, "reached"),
        (0.45, 0.42, "within the intervals"),
        (0.6, 0.51, "not reached"),
        (np.inf, np.nan, "not reached"),
    ],
)
def test_verdicts_on_a_figure_of_04_within_01(mean, low, verdict):
    rows = [{"name": "maml", "shots": 10, "steps": 1, "mse": {"mean": mean, "low": low, "high": 2 * mean}}]
    judged = {figure["source"]: figure["verdict"] for figure in judge_figures(rows)}
    assert judged["MAML paper, figure 6"] == verdict
    assert judged["Meta-SGD paper, regression table"] == "easier here"  # whatever ours is
    assert len(judged) == sum((f.name, f.shots, f.steps) == ("maml", 10, 1) for f in FIGURES)
    assert sum(HARDER in figure.note for figure in FIGURES) == 4


def test_orders_are_judged_by_paired_differences():
    rng = np.random.default_rng(0)
    hard = rng.exponential(size=200)  # what makes a task hard does so for all methods
    errors = {
        ("maml", 5, 1): hard,
        ("meta_sgd", 5, 1): 0.9 * hard,
        ("fomaml", 5, 1): hard + rng.normal(0, 0.1, 200) * (np.arange(200) % 2),
        ("reptile", 5, 1): 0.8 * hard,
        ("maml", 5, 10): hard,
        ("cavia", 5, 10): np.where(np.arange(200) == 3, np.inf, 0.1 * hard),
    }
    verdicts = {(found["better"], found["worse"]): found["verdict"] for found in judge_orders(errors, [5, 10])}
    assert verdicts == {
        ("meta_sgd", "maml"): "holds",
        ("maml", "fomaml"): "not significant",
        ("maml", "reptile"): "the other way round",
        ("cavia", "maml"): "not significant",  # it diverged on a task
    }
