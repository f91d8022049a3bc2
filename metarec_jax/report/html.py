"""Results as one self-contained HTML page: inline style, pictures as data, no script, nothing fetched."""

import base64
import functools
import json
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from metarec_jax.eval.metrics import by_name
from metarec_jax.report import plots, table
from metarec_jax.report import results as r
from metarec_jax.report.results import Results


@functools.cache
def template(name: str) -> jinja2.Template:
    """A template of this folder; what is put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names and settings come from files: nothing in them may become markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def encoded(figure: Figure) -> str:
    """A figure as the base64 text of its PNG, for a data URI."""
    return base64.b64encode(plots.png(figure)).decode()


def html_page(results: Results) -> str:
    """The page: what was measured, the figures, the comparisons, the curves, the settings, the environment.

    Raises:
      results.ResultsError: the results do not follow the layout of schema 1.
    """
    results = r.validate(r.plain(results))
    picture = encoded(plots.curves_figure(results))
    return template("page.html").render(
        results=results,
        columns=table.columns(results),
        metrics=[_metric_part(results, metric) for metric in r.metrics(results)],
        facts=_facts(results),
        summary=_summary(results) + table.starts(results),
        settings=_settings(results),
        picture=picture,
        environment={key: _text(value) for key, value in results["environment"].items()},
    )


def _metric_part(results: Results, metric: str) -> dict[str, Any]:
    """All tables of one metric."""
    opponents = table.opponents(results, metric)
    nobody = [""] * len(opponents)
    return {
        "label": by_name(metric).label,
        "direction": by_name(metric).direction,
        "glossary": by_name(metric).glossary,
        "groups": {
            "Baselines": table.cells(results, metric, "baseline"),
            "Learners": table.cells(results, metric, "learner"),
        },
        "counts": table.counts(results, metric),
        "changes": [
            _changes(results, metric, "versus", "Against the best baseline", opponents),
            _changes(results, metric, "adaptation", "What adaptation adds, against own K = 0", nobody),
        ],
    }


def _changes(results: Results, metric: str, against: str, title: str, opponents: list[str]) -> dict[str, Any]:
    """One table of differences, without the columns that hold none (K = 0 is not compared with itself)."""
    rows = table.changes(results, metric, against)
    heads = list(zip(table.columns(results), opponents, strict=True))
    kept = [i for i in range(len(heads)) if any(row[i].verdict for row in rows.values())]
    return {
        "title": title,
        "heads": [heads[i] for i in kept],
        "rows": {name: [row[i] for i in kept] for name, row in rows.items()},
    }


def _facts(results: Results) -> dict[str, str]:
    """What the header says of the data set and the split."""
    data, split = results["dataset"], results["split"]
    facts = {key: data.get(key) for key in ("users", "items", "ratings")}
    facts |= {
        "training tasks": split.get("train_tasks"),
        "validation tasks": split.get("valid_tasks"),
        "test tasks": split.get("test_tasks"),
        "seed" if len(results["seeds"]) == 1 else "seeds": ", ".join(map(str, results["seeds"])),
    }
    return {key: f"{value:,}" if isinstance(value, int) else value for key, value in facts.items() if value}


def _summary(results: Results) -> list[str]:
    """One sentence a K: how many learners are better than the best baseline, how many are worse."""
    metric = next(iter(r.metrics(results)), "")
    changes = table.changes(results, metric, "versus")
    sentences = []
    columns = zip(table.columns(results), table.opponents(results, metric), strict=True)
    for index, (head, opponent) in enumerate(columns):
        verdicts = [row[index].verdict for row in changes.values() if row[index].verdict]
        if verdicts:
            better, worse, same = (verdicts.count(word) for word in ("better", "worse", "="))
            sentences.append(
                f"{head}: {better} of {len(verdicts)} learners better than {opponent} in {by_name(metric).label}, "
                f"{worse} worse, {same} not significantly different."
            )
    return sentences


def _settings(results: Results) -> dict[str, dict[str, str]]:
    """Name -> {settings as text: the values of K they were used at as text}."""
    shots_by_text: dict[str, dict[str, list[str]]] = {}
    for row in results["rows"]:
        text = ", ".join(f"{key} = {_text(value)}" for key, value in row["settings"].items())
        shots_by_text.setdefault(row["name"], {}).setdefault(text or "none", []).append(str(row["shots"]))
    return {
        name: {text: "every K" if len(texts) == 1 else "K = " + ", ".join(ks) for text, ks in texts.items()}
        for name, texts in shots_by_text.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
