"""The report: results on disk, golden text, a page that is safe and self-contained, figures that draw."""

import copy
import io
import json

import matplotlib.image
import numpy as np
import pytest
from page_parser import Page

from metarec_jax.report import html, latex, plots, results, table
from metarec_jax.report.results import ResultsError

NOTHING = {"mean": None, "low": None, "high": None, "tasks": 0, "undefined": 40, "per_seed": [None]}


def measured(mean, undefined=0):
    interval = {"low": mean - 0.02, "high": mean + 0.02}
    return {"mean": mean, **interval, "tasks": 40 - undefined, "undefined": undefined, "per_seed": [mean]}


def difference(value, half):
    return {"difference": value, "low": value - half, "high": value + half, "p": 0.04}


def make_results(learner="ridge", error=0.90):
    """Two baselines, and one learner of this RMSE at K = 10, at K = 0 and 10."""
    versus = [difference(0.01, 0.02), difference(error - 0.95, 0.01)]
    rows = []
    for i, k in enumerate((0, 10)):
        common = {"shots": k, "settings": {"shrink": 5}}
        rows += [
            common
            | {"name": "item mean", "kind": "baseline"}
            | {"metrics": {"rmse": measured([1.0, 0.95][i]), "auc": measured(0.6, undefined=3)}},
            common
            | {"name": "popularity", "kind": "baseline"}
            | {"metrics": {"rmse": NOTHING, "auc": measured(0.65, undefined=3)}},
            common
            | {"name": learner, "kind": "learner"}
            | {"metrics": {"rmse": measured([1.01, error][i]), "auc": measured(0.7, undefined=3)}}
            | {
                "versus": {
                    "baseline": "item mean",
                    "rmse": versus[i],
                    "auc": difference(0.05, 0.01) | {"baseline": "popularity"},
                }
            },
        ]
    rows[-1]["adaptation"] = {"rmse": difference(error - 1.01, 0.03), "auc": difference(0.0, 0.01)}
    step = {"loss": 1.0, "seconds": 2.0}
    return {
        "schema": 1,
        "experiment": "user cold start",
        "dataset": {"name": "Toy", "users": 50, "items": 60, "ratings": 7000, "sha256": "ab", "source": "us"},
        "split": {"sha256": "cd", "train_tasks": 30, "valid_tasks": 10, "test_tasks": 40},
        "seeds": [0],
        "rows": rows,
        "curves": {learner: [step | {"step": s, "valid_rmse": 1.0 - s / 1000} for s in (0, 50, 100)]},
        "timing": {"training": 1.25},
        "environment": {"jax": "0.10", "devices": 1},
    }


GOLDEN = """\
Toy, user cold start
RMSE on the test tasks (lower is better, * best of the column)

             K = 0   K = 10
tasks           40       40
----------------------------
item mean   1.0000*  0.9500
popularity       -        -
----------------------------
ridge       1.0100   0.9000*

Against the best baseline
difference in RMSE [95% interval], negative is better, = not significant

        K = 0, item mean               K = 10, item mean
ridge   +0.0100 [-0.0100, +0.0300] =   -0.0500 [-0.0600, -0.0400] better

What adaptation adds, against the same learner at K = 0
difference in RMSE [95% interval], negative is better, = not significant

        K = 10
ridge   -0.1100 [-0.1400, -0.0800] better
"""


def test_golden_text_table():
    assert table.text_table(make_results()) == GOLDEN


def test_a_metric_where_more_is_better():
    text = table.text_table(make_results(), "auc")
    assert "undefined        3        3" in text
    assert "0.7000*" in text and "K = 0, popularity" in text and "positive is better" in text
    assert "+0.0500 [+0.0400, +0.0600] better" in text
    assert "+0.0000 [-0.0100, +0.0100] =" in text


def test_worse_is_said_and_nan_reads_as_undefined():
    found = make_results(error=1.2)
    found["rows"][1]["metrics"]["rmse"] = measured(float("nan"))  # before it is written, null is NaN
    text = table.text_table(found)
    assert "+0.2500 [+0.2400, +0.2600] worse" in text and "nan" not in text


def test_no_interval_no_verdict_but_equal():
    found = make_results()
    found["rows"][-1]["versus"]["rmse"] = {"difference": -0.5, "low": None, "high": None, "p": None}
    assert "-0.5000 =" in table.text_table(found)


def test_seeds_give_a_deviation_and_the_table_stays_readable():
    found = make_results()
    found["seeds"] = [0, 1, 2]
    for row in found["rows"]:
        if row["metrics"]["rmse"]["mean"] is not None:
            row["metrics"]["rmse"]["per_seed"] = [0.9, 1.0, None, 1.1]
    found["rows"] = [row | {"shots": k} for k in (0, 1, 3, 5, 10, "all") for row in found["rows"][-3:]]
    for row in found["rows"]:
        row["name"] = {"ridge": "ridge head with prior"}.get(row["name"], row["name"])
    text = table.text_table(found)
    assert "0.9000 ±.100*" in text and "deviation over 3 seeds" in text and "K = all" in text
    assert max(map(len, text.splitlines())) <= table.WIDTH


def test_latex_table():
    text = latex.latex_table(make_results("50%_ridge"), "rmse")
    assert r"item mean & \textbf{1.0000} & 0.9500 \\" in text and r"50\%\_ridge & " in text
    assert r"\textbf{0.9000}" in text and text.count(r"\textbf") == 2


def test_json_round_trip_and_no_nan(tmp_path):
    found = make_results()
    rmse = found["rows"][0]["metrics"]["rmse"]
    rmse |= {"low": float("nan"), "mean": np.float32(0.5), "per_seed": np.ones(2)}
    results.write_json(tmp_path / "results.json", found)
    assert "NaN" not in (tmp_path / "results.json").read_text()
    read = results.read_json(tmp_path / "results.json")
    expected = measured(1.0) | {"mean": 0.5, "low": None, "per_seed": [1.0, 1.0]}
    assert read["rows"][0]["metrics"]["rmse"] == expected
    assert read["rows"][1:] == make_results()["rows"][1:]


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda x: x.update(schema=2), "schema is 2"),
        (lambda x: x.pop("rows"), "'rows' is missing"),
        (lambda x: x.update(curves=[]), "'curves' is list"),
        (lambda x: x["rows"][1].pop("metrics"), r"rows\[1\]: 'metrics' is missing"),
        (lambda x: x["rows"][1].update(kind="other"), "not learner or baseline"),
        (lambda x: x["rows"][1].update(shots="ten"), "not a number or 'all'"),
        (lambda x: x["rows"].append(x["rows"][0]), "occurs twice"),
        (lambda x: x["rows"][0]["metrics"]["rmse"].pop("mean"), r"rows\[0\]\.rmse: 'mean' is missing"),
        (lambda x: x["rows"].append(3), r"rows\[6\] is int"),
        (lambda x: x["rows"][2]["versus"].pop("baseline"), r"rows\[2\]\.versus: 'baseline' is missing"),
        (lambda x: x["rows"][5]["adaptation"]["auc"].pop("p"), r"rows\[5\]\.adaptation\.auc: 'p' is missing"),
        (lambda x: x["split"].pop("sha256"), "split: 'sha256' is missing"),
    ],
)
def test_wrong_results_are_named_and_not_written(tmp_path, damage, message):
    broken = copy.deepcopy(make_results())
    damage(broken)
    with pytest.raises(ResultsError, match=message):
        results.write_json(tmp_path / "results.json", broken)
    assert not list(tmp_path.iterdir())
    (tmp_path / "results.json").write_text(json.dumps(broken))
    with pytest.raises(ResultsError, match=r"results\.json: .*" + message):
        results.read_json(tmp_path / "results.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1'])
def test_what_is_not_results_is_a_clear_error(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ResultsError, match=r"results\.json"):
        results.read_json(tmp_path / "results.json")


def test_page_holds_every_figure_and_needs_nothing_from_outside():
    page = html.html_page(make_results())
    links = Page(page).links
    assert len(links) == 1 and links[0].startswith("data:image/png;base64,")
    text = page.replace(links[0], "")
    for outside in ("http", "//", "url(", "@import", "<script", "<link"):
        assert outside not in text
    for wanted in ("item mean", "1.0000", "[0.8800, 0.9200]", "7,000", "shrink = 5", "1.2 s", "-0.0500"):
        assert wanted in text
    assert "K = 10: 1 of 1 learners better than item mean in RMSE, 0 worse" in text
    assert text.index(">RMSE<") < text.index(">AUC ") and "popularity</small>" in text


def test_page_escapes_everything():
    evil = "<script>alert('x')</script>"
    found = make_results(learner=evil)
    found |= {"experiment": evil, "environment": {evil: evil}, "timing": {evil: 1.0}}
    found["dataset"] |= {"name": evil, "sha256": evil, "source": evil}
    found["split"] = {"sha256": [evil, evil], "train_tasks": evil}
    for row in found["rows"]:
        row["settings"] = {evil: [evil]}
        row.get("versus", {}).update(baseline=evil)
    page = html.html_page(found)
    Page(page)
    assert "<script" not in page and "&lt;script&gt;" in page


def test_page_of_baselines_alone_and_of_nothing():
    found = make_results() | {"curves": {}}
    found["rows"] = [row for row in found["rows"] if row["kind"] == "baseline"]
    page = html.html_page(found)
    Page(page)
    assert "In short" not in page and "Against the best baseline" not in page
    Page(html.html_page(found | {"rows": []}))
    assert "tasks" in table.text_table(found | {"rows": []})


def test_page_refuses_what_is_not_results():
    with pytest.raises(ResultsError):
        html.html_page({"schema": 1})


def test_figure_draws_three_panels_and_the_same_bytes_each_time(tmp_path):
    figure = plots.curves_figure(make_results())
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["RMSE on test tasks", "AUC on test tasks", "RMSE on validation tasks"]
    plots.save_figure(figure, tmp_path / "new" / "curves.png")
    drawn = (tmp_path / "new" / "curves.png").read_bytes()
    assert drawn == plots.png(plots.curves_figure(make_results()))
    pixels = matplotlib.image.imread(io.BytesIO(drawn))[..., :3]
    assert len(np.unique((pixels * 255).astype(int).reshape(-1, 3), axis=0)) > 50
    assert (pixels < 0.99).any(axis=2).mean() > 0.02


def test_figure_leaves_out_weak_baselines_and_does_not_follow_an_outlier():
    found = make_results()
    for i in range(8):
        for k in (0, 10):
            row = {"name": f"weak {i}", "kind": "baseline", "shots": k, "settings": {}}
            found["rows"].append(row | {"metrics": {"rmse": measured(1.1 + i)}})
    axis = plots.curves_figure(found).axes[0]
    assert [line.get_label() for line in axis.lines] == ["ridge", "item mean", "weak 0", "weak 1", "weak 2"]
    for row in found["rows"]:
        if row["name"] == "ridge" and row["shots"] == 10:
            row["metrics"]["rmse"] = measured(500.0)
    assert plots.curves_figure(found).axes[0].get_ylim()[1] < 10


def test_every_line_has_a_point_at_each_k_where_its_method_was_measured():
    """Other methods with fewer Ks and bands of their own take nothing from it."""
    found = make_results()
    ks = {"all": (0, 3, 5, 10), "some": (3, 10), "last": (0, 3, 5, 10)}
    for name, own in ks.items():
        for k in own:
            row = {"name": name, "kind": "learner", "shots": k, "settings": {}}
            found["rows"].append(row | {"metrics": {"rmse": measured(1.0 + k / 100)}})
    axis = plots.curves_figure(found).axes[0]
    places = [label.get_text() for label in axis.get_xticklabels()]
    assert places == ["0", "3", "5", "10"]
    for line in axis.lines:
        if line.get_label() in ks:
            own = ks[line.get_label()]
            assert [places[int(x)] for x in line.get_xdata()] == list(map(str, own))
            np.testing.assert_allclose(line.get_ydata(), [1.0 + k / 100 for k in own])


def test_a_trained_baseline_looks_like_a_baseline_in_the_learning_curves():
    found = make_results()
    for i in range(5):
        row = {"name": f"trained {i}", "kind": "baseline", "shots": 10, "settings": {}}
        found["rows"].append(row | {"metrics": {"rmse": measured(1.1 + i)}})
    found["curves"]["trained 4"] = found["curves"]["ridge"]  # too weak for the other panels
    lines = {line.get_label(): line for line in plots.curves_figure(found).axes[2].lines}
    assert lines["ridge"].get_color() == plots.COLOURS[0]
    assert lines["trained 4"].get_color() not in plots.COLOURS
    assert lines["trained 4"].get_linewidth() < lines["ridge"].get_linewidth()


def test_figure_without_anything_still_draws():
    assert plots.png(plots.curves_figure(make_results() | {"rows": [], "curves": {}}))


def test_the_table_and_the_page_say_what_learners_start_from():
    results = make_results()
    assert "From " not in table.text_table(results)
    for row in results["rows"]:
        if row["kind"] == "learner":
            row["start"] = "a <b>fit</b>"
    assert "\nFrom a <b>fit</b>: ridge.\n" in table.text_table(results)
    assert "From a &lt;b&gt;fit&lt;/b&gt;: ridge." in html.html_page(results)
