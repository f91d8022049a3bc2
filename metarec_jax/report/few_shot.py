"""The report of few-shot classification: text table, learning curves, HTML page with episodes.

The layout of `results.json`, schema 1:

    schema, experiment, title
    dataset      {name, source, train, valid, test: numbers of classes}
    protocol     {what is the same for every method}
    pictures     whether the examples below are pictures (base64 of a PNG) or texts
    rows         [{name, kind, ways, shots, accuracy: {mean, low, high, tasks, undefined}, validation,
                   versus: {baseline, difference, low, high, p} or null, transductive, settings, seconds}, ...]
    official     null or {runs: number, rows: [{name, accuracy: {...}}, ...]}: fixed runs that nothing was trained on
    figures      [{name, ways, shots, value, source, ours: {mean, low, high}, verdict, why}, ...] beside published ones
    notes        {name: what to know of its figures}
    curves       {training run: [{step, loss, valid_accuracy, seconds}, ...]}
    examples     [{shape, support: [ways][items], query: [{item, truth, predictions: {name: class}}, ...]}, ...]
    timing       {stage: seconds}
    environment  {...}
"""

import base64
import io
import json
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from metarec_jax.report.html import encoded, template
from metarec_jax.report.plots import COLOURS, MARKERS, dress
from metarec_jax.report.table import aligned

Results = dict[str, Any]
Shape = tuple[int, int]  # ways, shots
REACHED, NOT_REACHED = "reached", "not reached"


def picture(ink: np.ndarray) -> str:
    """The base64 of a PNG of ink [H, W] in 0..1, black on white."""
    content = io.BytesIO()
    Image.fromarray((255 * (1.0 - ink)).astype(np.uint8)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def shapes(results: Results) -> list[Shape]:
    """Ways and shots, in order."""
    return list(dict.fromkeys((row["ways"], row["shots"]) for row in results["rows"]))


def heading(shape: Shape) -> str:
    """For example "5-way 1-shot"."""
    return f"{shape[0]}-way {shape[1]}-shot"


def names(results: Results, kind: str) -> list[str]:
    """The learners or the baselines, in order."""
    return list(dict.fromkeys(row["name"] for row in results["rows"] if row["kind"] == kind))


def percent(value: float) -> str:
    """An accuracy in per cent."""
    return f"{100 * value:.2f}"


def cells(results: Results, kind: str) -> dict[str, list[dict[str, str | bool]]]:
    """Name -> one cell a shape: accuracy, its interval, the difference from the best baseline and its verdict."""
    rows = {(row["name"], row["ways"], row["shots"]): row for row in results["rows"]}
    best = {
        shape: max(row["accuracy"]["mean"] for row in results["rows"] if (row["ways"], row["shots"]) == shape)
        for shape in shapes(results)
    }
    return {
        name: [_cell(rows[name, *shape], best[shape]) for shape in shapes(results)] for name in names(results, kind)
    }


def _cell(row: dict[str, Any], best: float) -> dict[str, str | bool]:
    accuracy, versus = row["accuracy"], row["versus"]
    cell: dict[str, str | bool] = {
        "text": percent(accuracy["mean"]),
        "half": f"± {percent((accuracy['high'] - accuracy['low']) / 2)}",
        "best": accuracy["mean"] == best,
        "transductive": row["transductive"],
        "rival": "",
        "change": "",
        "span": "",
        "verdict": "",
    }
    if versus:
        low, high = versus["low"], versus["high"]
        cell["rival"] = versus["baseline"]
        cell["verdict"] = "better" if low > 0 else "worse" if high < 0 else "="
        cell["change"] = f"{100 * versus['difference']:+.2f}"
        cell["span"] = f"[{100 * low:+.2f}, {100 * high:+.2f}]"
    return cell


def text_table(results: Results) -> str:
    """Accuracies, differences from the best baseline, and what is published beside."""
    heads = [heading(shape) for shape in shapes(results)]
    table = [["", *heads, "transductive"]]
    for kind in ("baseline", "learner"):
        for name, row in cells(results, kind).items():
            mode = "yes" if row[0]["transductive"] else "no"
            table.append([name, *(f"{c['text']} {c['half']}{' *' if c['best'] else ''}" for c in row), mode])
    episodes = results["protocol"]["test episodes"]
    blocks = [[f"Accuracy in per cent on {episodes} test episodes ± half the 95% interval", *aligned(table)]]
    if any(row["versus"] for row in results["rows"]):
        table = [["", *heads]]
        for name, row in cells(results, "learner").items():
            table.append([name, *(f"{c['change']} {c['span']} {c['verdict']}, {c['rival']}" for c in row)])
        head = "Learner minus the best baseline that sees no more than it, paired by episode, with its 95% interval"
        blocks.append([head, *aligned(table)])
    if results.get("official"):
        table = [[name, f"{text} {half}"] for name, text, half in errors(results)]
        blocks.append([f"Error in per cent on {official(results)}", *aligned(table)])
    if results["figures"]:
        table = [["", "", "published", "ours", "verdict", "why"]]
        for f in results["figures"]:
            ours = percent(f["ours"]["mean"])
            shape = heading((f["ways"], f["shots"]))
            table.append([f["name"], shape, percent(f["value"]), ours, f["verdict"], f["why"]])
        blocks.append(["Beside published figures", *aligned(table)])
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks) + "\n"


def official(results: Results) -> str:
    """What the official runs are, in words."""
    runs = results["official"]["runs"]
    return f"{runs} official one-shot runs: 20 characters of one alphabet, on which people err in 4.5%"


def errors(results: Results) -> list[tuple[str, str, str]]:
    """Name, error in per cent and half its 95% interval on the official runs."""
    rows = [(row["name"], row["accuracy"]) for row in results["official"]["rows"]]
    return [(name, percent(1 - own["mean"]), f"± {percent((own['high'] - own['low']) / 2)}") for name, own in rows]


def rows(results: Results) -> list[dict[str, Any]]:
    """The rows as `report/results.py` has them."""
    return [
        {
            "name": row["name"],
            "kind": row["kind"],
            "shots": heading((row["ways"], row["shots"])),
            "metrics": {"accuracy": row["accuracy"]},
        }
        for row in results["rows"]
    ]


def figures(results: Results) -> dict[str, Figure]:
    """File name -> picture; none where nothing was trained."""
    return {"curves.png": curves_figure(results)} if any(results["curves"].values()) else {}


def curves_figure(results: Results) -> Figure:
    """Two panels: validation accuracy against minutes of training, and against steps."""
    figure = Figure(figsize=(10.5, 4.8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    for place, (name, curve) in enumerate(results["curves"].items()):
        look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        height = [100 * point["valid_accuracy"] for point in curve]
        for axis, time in zip(axes, ([p["seconds"] / 60 for p in curve], [p["step"] for p in curve]), strict=True):
            axis.plot(time, height, label=name, linewidth=1.8, markersize=4, markevery=max(1, len(curve) // 8), **look)
    dress(axes[0], "Validation accuracy, %", "minutes of training", "higher is better")
    dress(axes[1], "Validation accuracy, %", "steps", "higher is better")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def html_page(results: Results) -> str:
    """The page: tables, verdicts, curves, episodes, settings, environment; nothing in it comes from outside."""
    return template("few_shot.html").render(
        results=results,
        heads=[heading(shape) for shape in shapes(results)],
        groups={"Baselines": cells(results, "baseline"), "Learners": cells(results, "learner")},
        percent=percent,
        official=official(results) if results.get("official") else None,
        errors=errors(results) if results.get("official") else [],
        heading=heading,
        curves=encoded(curves_figure(results)) if any(results["curves"].values()) else None,
        settings={f"{r['name']}, {heading((r['ways'], r['shots']))}": _settings(r) for r in results["rows"]},
        environment={key: json.dumps(value) for key, value in results["environment"].items()},
    )


def _settings(row: dict[str, Any]) -> str:
    told = {key: value for key, value in row["settings"].items() if value != ""}
    told |= {"validation accuracy": percent(row["validation"]), "seconds": row["seconds"]}
    return ", ".join(f"{key} = {value}" for key, value in told.items())
