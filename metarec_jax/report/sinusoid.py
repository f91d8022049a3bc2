"""The report of sinusoid regression: text tables, plots and one self-contained HTML page.

`results.json` of that benchmark, keys of objects being text:
    protocol     {name: number or list}
    rows         [{name, shots, steps, mse: {mean, low, high}, median, diverged, versus_maml}, ...]; steps are gradient
      steps on a test task; mean is null where a task diverged; versus_maml is null or {difference, low, high}, paired
    figures      [{name, shots, steps, value, half, source, note, ours, verdict}, ...] published ones beside ours
    orders       [{better, worse, steps, source, shots, verdict, difference, low, high}, ...] which is the better one
    without      {name: why there is no published figure}
    notes        {name: what to know of its figures}
    settings     {name: {key: value}}
    curves       {name: {shots: [{step, loss, valid_rmse, seconds}, ...]}}
    examples     {shots: {x, y, support_x, support_y, predictions: {name: {steps: [...]}}}}
    timing       {stage: seconds}
    environment  {...}
"""

import json
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from metarec_jax.report.html import encoded, template
from metarec_jax.report.plots import COLOURS, MARKERS, dress
from metarec_jax.report.table import UNDEFINED, aligned

Results = dict[str, Any]
DIVERGES = "diverges"
_COLUMNS = 4  # panels side by side


def names(results: Results) -> list[str]:
    """The methods, in order."""
    return list(dict.fromkeys(row["name"] for row in results["rows"]))


def shots(results: Results) -> list[int]:
    """The values of K."""
    return sorted({row["shots"] for row in results["rows"]})


def steps(results: Results) -> list[int]:
    """The numbers of gradient steps."""
    return sorted({row["steps"] for row in results["rows"]})


def _row(results: Results, name: str, k: int, n: int) -> dict[str, Any]:
    return next(row for row in results["rows"] if (row["name"], row["shots"], row["steps"]) == (name, k, n))


def counted(n: int) -> str:
    """So many steps, in words."""
    return f"{n} step{'s' * (n != 1)}"


def number(value: float | None) -> str:
    """An error as text; infinity is null in a file."""
    return f"{value:.3f}" if value is not None and math.isfinite(value) else DIVERGES


def interval(figures: dict[str, float | None]) -> str:
    """[low, high], or nothing where there is none."""
    low, high = figures["low"], figures["high"]
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def cells(results: Results, k: int) -> dict[str, list[dict[str, Any]]]:
    """Method -> one cell a number of gradient steps: texts, whether it is the best, whether it was trained so."""
    table = {}
    means = {n: [_row(results, name, k, n)["mse"]["mean"] for name in names(results)] for n in steps(results)}
    for name in names(results):
        table[name] = []
        for n in steps(results):
            row = _row(results, name, k, n)
            mean = row["mse"]["mean"]
            best = mean is not None and mean == min(m for m in means[n] if m is not None)
            trained = results["settings"][name]["inner_steps"] == n
            spread = f"on {row['diverged']} tasks" if row["diverged"] else interval(row["mse"])
            texts = {"text": number(mean), "interval": spread, "median": number(row["median"])}
            table[name].append(texts | {"best": best, "trained": trained, "change": _change(row["versus_maml"])})
    return table


def _change(versus: dict[str, Any] | None) -> dict[str, str]:
    """Difference from MAML as text, and its verdict."""
    if not versus or versus["difference"] is None:
        return {"text": UNDEFINED, "interval": "", "verdict": ""}
    low, high = versus["low"], versus["high"]
    verdict = "better" if high < 0 else "worse" if low > 0 else "="
    span = f"[{low:+.3f}, {high:+.3f}]"
    return {"text": f"{versus['difference']:+.3f}", "interval": span, "verdict": verdict}


def text_table(results: Results) -> str:
    """A block a K, then the published figures and orders."""
    heads = [counted(n) for n in steps(results)]
    tasks = results["protocol"]["test tasks"]
    blocks = []
    for k in shots(results):
        table = [["", *heads]]
        for name, row in cells(results, k).items():
            texts = [f"{c['text']}{'*' if c['trained'] else ''} {c['interval']} ({c['median']})" for c in row]
            table.append([name, *(text.replace("  ", " ") for text in texts)])
        title = f"K = {k}: mean squared error on {tasks} test tasks [95% interval] (median)"
        blocks.append([title, "* as many steps as in training", *aligned(table)])
    if results["figures"]:
        table = [["", "K", "steps", "published", "ours", "verdict", "source"]]
        for f in results["figures"]:
            where = [f["name"], str(f["shots"]), str(f["steps"])]
            table.append([*where, published(f), number(f["ours"]["mean"]), f["verdict"], f["source"]])
        blocks.append(["Beside published figures", *aligned(table)])
    if results["orders"]:
        table = [[sentence(order), order["verdict"], order["source"]] for order in results["orders"]]
        blocks.append(["Which is the better one", *aligned(table)])
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks) + "\n"


def published(figure: dict[str, Any]) -> str:
    """A published figure with its interval."""
    return f"{figure['value']:g}" + (f" ± {figure['half']:g}" if figure["half"] is not None else "")


def sentence(order: dict[str, Any]) -> str:
    """What is claimed, for example that CAVIA is better than MAML."""
    return f"{order['better']} better than {order['worse']} after {counted(order['steps'])}, K = {order['shots']}"


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(panels, _COLUMNS)
    rows = -(-panels // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(0.6 + 3.7 * columns, 0.5 + height * rows), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[panels:]:
        axis.set_axis_off()
    return figure, list(axes[:panels])


def curves_figure(results: Results, k: int) -> Figure:
    """A panel a method: one wave, the K points of it that are known, and the prediction before and after adapting."""
    example = results["examples"][str(k)]
    figure, axes = _figure(len(names(results)), 2.9)
    reach = 1.6 * max(map(abs, example["y"]))
    for axis, name in zip(axes, names(results), strict=True):
        axis.plot(example["x"], example["y"], color="0.75", linewidth=5, label="the wave")
        for place, n in enumerate(steps(results)):
            curve = np.array(example["predictions"][name][str(n)], float)  # null, a prediction off the map, is a gap
            style: dict[str, Any] = {"linestyle": (0, (2, 1.5))} if n == 0 else {}
            axis.plot(example["x"], curve, color=COLOURS[place], label=counted(n), **style)
        known = {"markersize": 7, "label": f"the {k} known points", "zorder": 4}
        axis.plot(example["support_x"], example["support_y"], "k^", **known)
        axis.set_ylim(-reach, reach)
        dress(axis, name, "x", f"trained with {counted(results['settings'][name]['inner_steps'])}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def errors_figure(results: Results) -> Figure:
    """A panel a K: mean squared error against gradient steps, on a log scale, with 95% intervals."""
    figure, axes = _figure(len(shots(results)), 4.2)
    for axis, k in zip(axes, shots(results), strict=True):
        places = range(len(steps(results)))
        heights = []
        for place, name in enumerate(names(results)):
            mses = [_row(results, name, k, n)["mse"] for n in steps(results)]
            mean, low, high = (np.array([mse[key] for mse in mses], float) for key in ("mean", "low", "high"))
            look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            axis.plot(places, mean, label=name, linewidth=2, markersize=5.5, **look)
            axis.fill_between(places, low, high, color=look["color"], alpha=0.1, linewidth=0)
            heights += [value for value in mean if np.isfinite(value)]
        axis.set_yscale("log")
        axis.set_ylim(0.7 * min(heights), min(1.4 * max(heights), 10.0))
        axis.set_xticks(places, [str(n) for n in steps(results)])
        dress(axis, f"Mean squared error, K = {k}", "gradient steps on the test task", "lower is better")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def rows(results: Results) -> list[dict[str, Any]]:
    """The rows as `report/results.py` has them; a mean over tasks is undefined where one of them diverged."""
    tasks = results["protocol"]["test tasks"]
    return [
        {
            "name": row["name"],
            "kind": "learner",
            "shots": f"K = {row['shots']}, {counted(row['steps'])}",
            "metrics": {"mse": row["mse"] | {"tasks": tasks, "undefined": row["diverged"]}},
        }
        for row in results["rows"]
    ]


def figures(results: Results) -> dict[str, Figure]:
    """File name -> picture."""
    waves = {f"curves_{k}_shots.png": curves_figure(results, k) for k in shots(results)}
    return waves | {"errors.png": errors_figure(results)}


def html_page(results: Results) -> str:
    """The page: tables, verdicts, plots, settings, environment; nothing in it comes from outside."""
    return template("sinusoid.html").render(
        results=results,
        heads=[counted(n) for n in steps(results)],
        tables={k: cells(results, k) for k in shots(results)},
        figures=[figure | {"text": published(figure)} for figure in results["figures"]],
        orders=[order | {"text": sentence(order), "change": _change(order)} for order in results["orders"]],
        number=number,
        interval=interval,
        waves={k: encoded(curves_figure(results, k)) for k in shots(results)},
        errors=encoded(errors_figure(results)),
        settings={name: _text(setting) for name, setting in results["settings"].items()},
        environment={key: json.dumps(value) for key, value in results["environment"].items()},
    )


def _text(setting: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in setting.items())
