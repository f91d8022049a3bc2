"""Figures of the results: error and ranking against K, and the learning curves.

Made with matplotlib's objects and the Agg canvas, without pyplot: no global state, no display.
"""

import io
import os
from collections.abc import Collection

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from metarec_jax.eval.metrics import by_name
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import results as r
from metarec_jax.report.results import Results

# Okabe and Ito's palette, which colour-blind readers can tell apart: its yellow (too pale on white) and black
# (too near the baselines) give way to two of Tol's.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # 7 against 8 colours: 56 learners before a pair repeats
_DASHES = ((0, (5, 2)), (0, (1, 1.3)), (0, (5, 1.5, 1, 1.5)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)))
_STRONG = 4  # baselines drawn in a panel


def curves_figure(results: Results) -> Figure:
    """Up to three panels: RMSE against K, nDCG@5 (or AUC) against K, the validation metric by step.

    Where these were not measured, the first two metrics that were.

    Learners are thick and coloured with their 95% intervals, the strongest baselines, and first stages of a training,
    thin and grey. A panel without data is left out. The y axes show the bulk of the curves; one far off runs out of
    the frame.
    """
    kinds = ("baseline", "learner")
    known = [m for m in r.metrics(results) if any(_means(results, m, kind) for kind in kinds)]
    panels = [m for m in ("rmse", "ndcg@5", "auc") if m in known][:2] or known[:2]
    learning = {name: curve for name, curve in results["curves"].items() if _validation(curve)[0]}
    total = max(1, len(panels) + bool(learning))
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(0.6 + 4.8 * total, 5.4), layout=layout)
    FigureCanvasAgg(figure)
    axes = list(np.atleast_1d(figure.subplots(1, total)))
    styles = _styles(results, panels, learning)
    for axis, metric in zip(axes, panels, strict=False):
        _shots_panel(axis, results, metric, styles)
    if learning:
        _learning_panel(axes[-1], learning, styles)
    _legend(figure, axes)
    return figure


def _means(results: Results, metric: str, kind: str) -> dict[str, list[float]]:
    """Name -> the defined means of a metric, in the order of K; nobody without one."""
    ks = r.shots(results)
    rows = {name: [r.figures(results, name, k, metric) for k in ks] for name in r.names(results, kind)}
    return {name: [f["mean"] for f in row if f] for name, row in rows.items() if any(row)}


def _styles(results: Results, panels: list[str], learning: Collection[str]) -> dict[str, dict]:
    """How each learner, then each baseline that is drawn in some panel (a trained one has a learning curve), looks in
    all of them."""
    learners, styles = r.names(results, "learner"), {}
    drawn = [name for metric in panels for name in _strong_baselines(results, metric)]
    drawn += [name for name in learning if name not in learners]
    for i, name in enumerate(learners):
        look = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        styles[name] = look | {"linewidth": 2.2, "markersize": 5.5, "zorder": 3}
    for i, name in enumerate(dict.fromkeys(drawn)):
        look = {"color": ("0.25", "0.6")[i // len(_DASHES) % 2], "linestyle": _DASHES[i % len(_DASHES)]}
        styles[name] = look | {"linewidth": 1.3}
    return styles


def _strong_baselines(results: Results, metric: str) -> list[str]:
    """The few baselines that are best on average over K."""
    means = {name: float(np.mean(row)) for name, row in _means(results, metric, "baseline").items()}
    return sorted(means, key=means.__getitem__, reverse=not by_name(metric).lower_is_better)[:_STRONG]


def _shots_panel(axis: Axes, results: Results, metric: str, styles: dict[str, dict]) -> None:
    ks = r.shots(results)
    learners = r.names(results, "learner")
    heights: list[float] = []
    for name in [*learners, *_strong_baselines(results, metric)]:
        points = [(i, f) for i, k in enumerate(ks) if (f := r.figures(results, name, k, metric))]
        if not points:
            continue
        x, means = [i for i, _ in points], [f["mean"] for _, f in points]
        axis.plot(x, means, label=name, **styles[name])
        heights += means
        band = [(i, f["low"], f["high"]) for i, f in points if name in learners and r.defined(f["low"])]
        if band:
            places, low, high = zip(*band, strict=True)
            axis.fill_between(places, low, high, color=styles[name]["color"], alpha=0.08, linewidth=0)
    axis.set_xticks(range(len(ks)), [str(k) for k in ks])
    axis.set_ylim(*_limits(heights))
    dress(axis, f"{by_name(metric).label} on test tasks", "K, ratings in the support set", by_name(metric).direction)


def _learning_panel(axis: Axes, learning: dict[str, list[dict]], styles: dict[str, dict]) -> None:
    heights: list[float] = []
    for name, curve in learning.items():
        steps, values = _validation(curve)
        axis.plot(steps, values, label=name, markevery=0.15, **styles[name])
        heights += values
    axis.set_ylim(*_limits(heights))
    metric = next(_validated_by(point) for curve in learning.values() for point in curve)
    dress(axis, f"{by_name(metric).label} on validation tasks", "training step", by_name(metric).direction)


def _validated_by(point: dict) -> str:
    return next(key.removeprefix("valid_") for key in point if key.startswith("valid_"))


def _validation(curve: list[dict]) -> tuple[list[int], list[float]]:
    points = [(p["step"], value) for p in curve if r.defined(value := p.get(f"valid_{_validated_by(p)}"))]
    return [step for step, _ in points], [value for _, value in points]


def _limits(heights: list[float]) -> tuple[float, float]:
    """Limits around the values within wide Tukey fences: an outlier does not flatten the rest."""
    low, middle, high = np.quantile(heights, [0.25, 0.5, 0.75])
    reach = 2.0 * (high - low)
    bottom, top = max(min(heights), low - reach), min(max(heights), high + reach)
    room = 0.08 * (top - bottom) or 0.01 * abs(middle) or 0.1
    return bottom - room, top + room


def dress(axis: Axes, title: str, x_label: str, note: str) -> None:
    """Title to the left, a note to the right, the label of x, and as few lines as will do."""
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axis.set_title(note, loc="right", fontsize=8.5, color="0.45")
    axis.set_xlabel(x_label)
    axis.grid(axis="y", color="0.92")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: list[Axes]) -> None:
    """One legend below all panels, each name once: the panels share their styles."""
    handles: dict[str, Artist] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if handles:
        place = {"loc": "outside lower center", "ncols": 2 * len(axes)}
        figure.legend(handles.values(), handles.keys(), frameon=False, fontsize=9, **place)


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the figure as a PNG file, atomically."""
    write_atomic(path, png(figure))
