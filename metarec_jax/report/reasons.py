"""The report of `experiments/reasons.py`: a text table and one self-contained HTML page.

Its `results.json` follows schema 1 (`results.py`) with the metrics of `COLUMNS` and more:
    rows         also "beyond_random": {difference, low, high, p}, paired
    examples     {name: [{user, title, prediction, rating, reason}, ...]}
    points       {name: [[predicted, actual], ...]}
"""

import json
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from metarec_jax.report.html import encoded, template
from metarec_jax.report.plots import COLOURS, dress
from metarec_jax.report.results import Results, defined
from metarec_jax.report.table import UNDEFINED, align

COLUMNS = {
    "correlation": "correlation of the predicted and the actual effect of leaving a rating out",
    "predicted": "predicted effect of leaving out the most influential rating, mean size in rating units",
    "actual": "its actual effect, counted in the predicted direction",
    "same sign": "fraction of the predictions that moved in that direction",
    "random": "mean size of the actual effect of leaving out a random rating",
}


def cells(row: dict[str, Any]) -> list[tuple[str, str]]:
    """A row's figures as (text, interval): those of `COLUMNS` and by how much the most influential rating does more
    than a random one."""
    metrics = [_cell(row["metrics"][metric], "mean", ".3f") for metric in COLUMNS]
    return [*metrics, _cell(row["beyond_random"], "difference", "+.3f")]


def _cell(figures: dict[str, Any], key: str, style: str) -> tuple[str, str]:
    if not defined(figures[key]):
        return UNDEFINED, ""
    interval = f"[{figures['low']:{style}}, {figures['high']:{style}}]" if defined(figures["low"]) else ""
    return f"{figures[key]:{style}}", interval


def text_table(results: Results) -> str:
    """One line a method and K, and what the columns are."""
    heads = ["", "K", "predictions", *COLUMNS, "most - random"]
    lines = [heads]
    for row in results["rows"]:
        count = row["metrics"]["correlation"]["tasks"]
        shown = ("correlation", "most - random")
        by_head = dict(zip(heads[3:], cells(row), strict=True))
        texts = [f"{text} {interval}" if head in shown else text for head, (text, interval) in by_head.items()]
        lines.append([row["name"], str(row["shots"]), f"{count:,}", *texts])
    notes = [f"{name}: {meaning}" for name, meaning in COLUMNS.items()]
    title = f"{results['dataset']['name']}, {results['experiment']}"
    return "\n".join([title, "", *align(lines), "", *notes])


def points_figure(results: Results) -> Figure:
    """A panel a method: actual against predicted effects of leaving a rating out."""
    points = {name: np.array(pairs) for name, pairs in results["points"].items()}
    figure = Figure(figsize=(3.6 * len(points) + 0.4, 3.8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    for place, (axis, (name, pairs)) in enumerate(
        zip(figure.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True)
    ):
        reach = 1.05 * np.abs(pairs).max() or 1.0
        axis.plot([-reach, reach], [-reach, reach], color="0.8", linewidth=1)
        axis.plot(*pairs.T, ".", color=COLOURS[place % len(COLOURS)], markersize=4, alpha=0.6)
        axis.set_xlim(-reach, reach)
        axis.set_ylim(-reach, reach)
        axis.set_ylabel("actual")
        dress(axis, name, "predicted", "rating units")
    return figure


def rows(results: Results) -> list[dict[str, Any]]:
    """The rows in the layout of `report/results.py`."""
    return results["rows"]


def figures(results: Results) -> dict[str, Figure]:
    """Pictures beside the page: none, it holds them all."""
    del results
    return {}


def html_page(results: Results) -> str:
    """The page: how well reasons predict effects, and what people would be told. What it is made of is escaped."""
    return template("reasons.html").render(
        results=results,
        columns=COLUMNS,
        rows=[(row, cells(row)) for row in results["rows"]],
        picture=encoded(points_figure(results)),
        environment={key: json.dumps(value) for key, value in results["environment"].items()},
    )
