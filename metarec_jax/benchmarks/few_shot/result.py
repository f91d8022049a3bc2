"""The results of few-shot classification: what `report/few_shot.py` shows."""

from typing import Any, cast

import numpy as np
import polars as pl

from metarec_jax.benchmarks.few_shot.base import OFFICIAL, FewShotData, FewShotFold, Protocol, episodes_of
from metarec_jax.benchmarks.few_shot.published import PUBLISHED, beside
from metarec_jax.benchmarks.result import Measured, PageResult, environment
from metarec_jax.report import few_shot
from metarec_jax.types import Episode

SCHEMA = 1
EXAMPLES, SHOWN = 2, 3  # test episodes that the page shows, and queries of each class


class FewShotResult(PageResult):
    """The results of few-shot classification."""

    page = few_shot


def compose(measured: Measured, title: str, protocol: Protocol) -> FewShotResult:
    """Everything that a run knows, as results.

    Args:
      measured: the run.
      title: of the page.
      protocol: of the benchmark.
    """
    data, store, seeds = measured.data, measured.store, list(measured.folds)
    classes, measures = data.classes, measured.rows()
    folds = cast(list[FewShotFold], measured.folds[seeds[0]])
    rows = [_row(row, fold, measured) for fold in folds for row in measures if row["shots"] == str(fold.shape)]
    official = [_estimate(row) | {"name": row["name"]} for row in measures if row["shots"] == OFFICIAL]
    numbers = {part: len(members) for part, members in classes.parts.items()}
    sizes = {"test episodes": protocol.episodes, "queries a class": protocol.shapes[0].query}
    return FewShotResult(
        {
            "schema": SCHEMA,
            "experiment": measured.benchmark.name,
            "title": title,
            "dataset": {"name": classes.name, "source": classes.source} | numbers,
            "protocol": sizes | {"seed": seeds[0] if len(seeds) == 1 else seeds} | _said(data, protocol),
            "pictures": data.texts is None,
            "rows": rows,
            "official": {"runs": len(data.official.query.y), "rows": official} if official else None,
            "figures": beside(rows, PUBLISHED.get(classes.name, {})),
            "notes": {recipe.name: note for recipe in measured.recipes if (note := getattr(recipe.build, "note", ""))},
            "curves": {name: store.curve(seeds[0], name) for name in store.names(seeds[0])},
            "examples": [episode for fold in folds for episode in example_episodes(fold, _predictions(measured, fold))],
            "timing": {stage: round(seconds, 1) for stage, seconds in measured.timing.items()},
            "environment": environment(),
        }
    )


def _said(data: FewShotData, protocol: Protocol) -> dict[str, str]:
    """What else there is to know of the classes."""
    parts = data.classes.parts
    said = {
        "quarter turns": ("are classes of their own", protocol.rotations),
        "mirror images": ("are classes of training", protocol.mirrored),
        "training examples": ("are changed a little", protocol.augment is not None),
        "validation classes": ("are trained on", np.isin(parts["valid"], parts["train"]).any()),
    }
    return {what: text for what, (text, is_so) in said.items() if is_so}


def _row(row: dict[str, Any], fold: FewShotFold, measured: Measured) -> dict[str, Any]:
    """One method at one shape, in the layout of the report; settings are those on the first seed."""
    settings = dict(row["settings"])
    outcome = next(o for o in measured.outcomes[row["name"]] if row["shots"] in o.info["settings"])
    validation, seconds = settings.pop("validation"), settings.pop("seconds", outcome.info["seconds"])
    versus = row.get("versus")
    return {
        "name": row["name"],
        "kind": row["kind"],
        "ways": fold.shape.ways,
        "shots": fold.shape.shots,
        **_estimate(row),
        "validation": validation,
        "versus": versus["accuracy"] if versus else None,
        "transductive": outcome.info["transductive"],
        "settings": settings,
        "seconds": round(seconds, 1),
    }


def _estimate(row: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": {key: row["metrics"]["accuracy"][key] for key in ("mean", "low", "high", "tasks", "undefined")}}


def _predictions(measured: Measured, fold: FewShotFold) -> dict[str, np.ndarray]:
    """Method -> the classes that it predicts, [T, Q], in the fold's test episodes."""
    predictions = {}
    for name, outcomes in measured.outcomes.items():
        rows = pl.concat([outcome.predictions for outcome in outcomes])
        rows = rows.filter(pl.col("shots") == str(fold.shape), seed=fold.seed).sort("task", "item")
        classes = rows["prediction"].to_numpy().astype(np.int32)
        predictions[name] = classes.reshape(fold.protocol.episodes, -1)
    return predictions


def example_episodes(fold: FewShotFold, predictions: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The first test episodes for the page: what is known of each class, what is asked, and what each method says."""
    shown = fold.episodes("test").first(EXAMPLES)
    support, query = (_items(fold, part, shown) for part in ("support", "query"))
    ways, truth = fold.shape.ways, np.asarray(shown.query.y)
    episodes = []
    for number in range(len(truth)):
        known = np.asarray(shown.support.y[number])
        episodes.append(
            {
                "shape": str(fold.shape),
                "support": [[support[number][i] for i in np.flatnonzero(known == way)] for way in range(ways)],
                "query": [
                    {
                        "item": query[number][i],
                        "truth": int(truth[number, i]),
                        "predictions": {name: int(own[number, i]) for name, own in predictions.items()},
                    }
                    for way in range(ways)
                    for i in np.flatnonzero(truth[number] == way)[:SHOWN]
                ],
            }
        )
    return episodes


def _items(fold: FewShotFold, part: str, shown: Episode) -> list[list[str]]:
    """What the page shows of the examples of each episode: the base64 of a PNG, or a text."""
    texts = fold.data.texts
    if texts is None:
        pictures = np.asarray(getattr(shown, part).x)[..., 0]
        return [[few_shot.picture(picture) for picture in several] for several in pictures]
    classes = fold.data.classes
    numbered = FewShotData(classes._replace(x=np.arange(classes.offsets[-1], dtype=np.int32)))
    same = fold.episodes("test")._replace(tasks=episodes_of(numbered, "test", fold.shape, rotations=False))
    rows = np.asarray(getattr(same.first(EXAMPLES), part).x)
    return [[texts[row] for row in several] for several in rows]
