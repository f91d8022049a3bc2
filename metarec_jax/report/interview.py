"""The report of `experiments/interview.py`: a text table and one self-contained HTML page.

Its `results.json` follows schema 1 (`results.py`), K being the number of questions, and has more:
    asked        who was asked about what, in words
    rows         also learner, way (of choosing), answers (mean number so far),
      against {other way: {difference, low, high, p}} in RMSE, paired over users
    questions    {way: [{title, asked, answered}, ...]} asked most often; fractions of users, and of them who answer
"""

import json
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from metarec_jax.report.html import encoded, template
from metarec_jax.report.plots import COLOURS, MARKERS, dress
from metarec_jax.report.results import Results, shots
from metarec_jax.report.table import Change, align, change

MEANING = {
    "variance": "where an answer reduces the variance of the predictions of all items most",
    "melu": "by MeLU's score, popularity times gradient",
    "popular": "the most rated first",
    "random": "at random",
}
SHOWN = (0, 1, 3, 5, 10)  # questions in the tables


def learners(results: Results) -> list[str]:
    """Who the answers were told to, in order."""
    return list(dict.fromkeys(row["learner"] for row in results["rows"]))


def ways(results: Results) -> list[str]:
    """Ways of choosing the questions, in order; the first is compared with the others."""
    return list(dict.fromkeys(row["way"] for row in results["rows"]))


def columns(results: Results) -> list[int]:
    """The numbers of questions in the tables: those of `SHOWN` and the last."""
    asked = [k for k in shots(results) if isinstance(k, int)]
    return [k for k in asked if k in SHOWN or k == asked[-1]]


def find(results: Results, learner: str, way: str, k: int) -> dict[str, Any]:
    """The row of a learner, a way of choosing and a number of questions."""
    return next(row for row in results["rows"] if (row["learner"], row["way"], row["shots"]) == (learner, way, k))


def changes(results: Results, learner: str) -> dict[str, list[Change]]:
    """Other way -> the first way's difference from it at each of `columns`."""
    own, *others = ways(results)
    rows = [find(results, learner, own, k) for k in columns(results)]
    return {other: [change(row["against"][other], "rmse") for row in rows] for other in others}


def text_table(results: Results) -> str:
    """For each learner the errors and the differences of the first way from the others; then the numbers of answers."""
    heads = ["", *(f"{k} questions" for k in columns(results))]
    blocks = [[f"{results['dataset']['name']}, {results['experiment']}: {results['asked']}"]]

    def lines(learner: str, cell_text) -> list[list[str]]:
        return [[way, *(cell_text(find(results, learner, way, k)) for k in columns(results))] for way in ways(results)]

    for learner in learners(results):
        errors = lines(learner, lambda row: f"{row['metrics']['rmse']['mean']:.4f}")
        blocks.append([f"{learner}: RMSE (lower is better)", *align([heads, *errors])])
        rivals = changes(results, learner)
        differences = zip(columns(results), *rivals.values(), strict=True)
        texts = [[f"{k} questions", *(" ".join(rival) for rival in rivals)] for k, *rivals in differences if k]
        title = f"{learner}: RMSE of {ways(results)[0]} minus that of another [95% interval], = not significant"
        blocks.append([title, *align([["", *rivals], *texts])])
    answers = lines(learners(results)[0], lambda row: f"{row['answers']:.2f}")
    blocks.append(["answers so far", *align([heads, *answers])])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def questions_figure(results: Results) -> Figure:
    """A panel a learner: error against the number of questions, a line a way of choosing.

    Without intervals: what makes a user hard to predict is common to all lines, and only differences are tested.
    """
    names = learners(results)
    figure = Figure(figsize=(5.0 * len(names) + 0.4, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        for place, way in enumerate(ways(results)):
            errors = [find(results, name, way, k)["metrics"]["rmse"]["mean"] for k in shots(results)]
            look: dict[str, Any] = {"color": COLOURS[place], "marker": MARKERS[place]}
            axis.plot(shots(results), errors, label=way, linewidth=2, markersize=5, **look)
        dress(axis, f"RMSE, {name}", "questions", "lower is better")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def rows(results: Results) -> list[dict[str, Any]]:
    """The rows in the layout of `report/results.py`."""
    return results["rows"]


def figures(results: Results) -> dict[str, Figure]:
    """Pictures beside the page: none, it holds them all."""
    del results
    return {}


def html_page(results: Results) -> str:
    """The page: error against questions, differences, what is asked most. What it is made of is escaped."""
    return template("interview.html").render(
        results=results,
        columns=columns(results),
        ways=ways(results),
        meaning=MEANING,
        find=lambda learner, way, k: find(results, learner, way, k),
        changes={learner: changes(results, learner) for learner in learners(results)},
        picture=encoded(questions_figure(results)),
        environment={key: json.dumps(value) for key, value in results["environment"].items()},
    )
